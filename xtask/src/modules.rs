//! Links ES modules into one script, for a page that must run from `file://`, where browsers load
//! no modules.
//!
//! Each module's text stays as it was written, inside a function of its own, after the modules it
//! imports:
//!
//! ```js
//! // ──── pkg/index.js
//! const pkg_index = (() => {
//! const { default: init } = pkg_wasm_verifier;
//! …
//! return { verify: verify };
//! })();
//! ```
//!
//! This reads the plain forms of `import` and `export` at the start of a line, and refuses the
//! rest: forms whose meaning would change inside a function (`export let`, cycles), and forms that
//! nobody here needs (`export … from`, `export default`).

use anyhow::{Context, Result, bail, ensure};

/// The script for the page, from its first module: a path from the root, like every path here.
pub fn link(path: &str, read: &dyn Fn(&str) -> Result<String>) -> Result<String> {
    let mut linker =
        Linker { read, script: String::from("\n"), linked: Vec::new(), open: Vec::new() };
    linker.module(path)?;
    Ok(linker.script)
}

/// A relative reference, `./a.js` or `../pkg/a.js`, as a path from the root.
pub fn resolve(from: &str, reference: &str) -> Result<String> {
    ensure!(
        reference.starts_with("./") || reference.starts_with("../"),
        "{from}: `{reference}` must be relative, starting with ./ or ../"
    );
    let mut parts: Vec<&str> = from.split('/').collect();
    parts.pop();
    for part in reference.split('/') {
        match part {
            "." => {}
            ".." => {
                let parent = parts.pop();
                ensure!(parent.is_some(), "{from}: `{reference}` leaves the repository");
            }
            name => parts.push(name),
        }
    }
    Ok(parts.join("/"))
}

struct Linker<'a> {
    read: &'a dyn Fn(&str) -> Result<String>,
    script: String,
    /// Modules already in the script.
    linked: Vec<String>,
    /// Modules whose imports are being linked, outermost first.
    open: Vec<String>,
}

impl Linker<'_> {
    fn module(&mut self, path: &str) -> Result<()> {
        if self.linked.iter().any(|linked| linked == path) {
            return Ok(());
        }
        let cycle = self.open.iter().any(|open| open == path);
        self.open.push(path.to_owned());
        ensure!(!cycle, "import cycle: {}", self.open.join(" → "));

        let source = (self.read)(path)?;
        for forbidden in ["</script", "<!--"] {
            ensure!(
                !source.to_ascii_lowercase().contains(forbidden),
                "{path} contains `{forbidden}`, which would end or hide the script in the page"
            );
        }
        let mut body = String::new();
        let mut exports = Vec::new();
        let mut in_comment = false;
        let mut lines = source.lines().enumerate();
        while let Some((number, line)) = lines.next() {
            let place = || format!("{path}:{}", number + 1);
            in_comment |= line.starts_with("/*");
            if in_comment {
                in_comment = !line.contains("*/");
                body.push_str(line);
            } else if line.starts_with("import ") || line.starts_with("export {") {
                let mut statement = line.to_owned();
                while !statement.ends_with(';') {
                    let (_, next) = lines
                        .next()
                        .with_context(|| format!("{}: no `;` ends this statement", place()))?;
                    statement.push(' ');
                    statement.push_str(next.trim());
                }
                let statement = statement.trim_end_matches(';');
                if statement.starts_with("import ") {
                    body.push_str(&self.import(path, statement).with_context(place)?);
                } else {
                    exports.extend(export_list(statement).with_context(place)?);
                }
            } else if let Some(declaration) = line.strip_prefix("export ") {
                exports.push(exported_name(declaration).with_context(place)?);
                body.push_str(declaration);
            } else {
                body.push_str(line);
            }
            body.push('\n');
        }
        self.script.push_str(&format!(
            "// ──── {path}\nconst {} = (() => {{\n{body}return {{ {} }};\n}})();\n\n",
            identifier(path),
            exports.join(", ")
        ));
        self.open.pop();
        self.linked.push(path.to_owned());
        Ok(())
    }

    /// Links what an import statement names, and returns what takes its place.
    fn import(&mut self, path: &str, statement: &str) -> Result<String> {
        let clause = statement.trim_start_matches("import ");
        let (names, reference) = clause.split_once(" from ").unwrap_or(("", clause));
        let reference = reference.trim().trim_matches(['"', '\'']);
        let module = resolve(path, reference)?;
        self.module(&module)?;
        let module = identifier(&module);

        let (default, rest) = match names.trim().split_once(',') {
            _ if names.trim().starts_with(['{', '*']) => (None, names.trim()),
            Some((default, rest)) => (Some(default.trim()), rest.trim()),
            None if names.trim().is_empty() => return Ok(String::new()),
            None => (Some(names.trim()), ""),
        };
        if let Some(name) = rest.strip_prefix("* as ") {
            ensure!(default.is_none(), "a default and `*` in one import: write two");
            return Ok(format!("const {name} = {module};"));
        }
        let mut bindings: Vec<String> =
            default.map(|name| format!("default: {name}")).into_iter().collect();
        if !rest.is_empty() {
            bindings.extend(pairs(rest)?.map(|(name, local)| format!("{name}: {local}")));
        }
        Ok(format!("const {{ {} }} = {module};", bindings.join(", ")))
    }
}

/// `export { a, b as c }`, as properties of the object a module returns.
fn export_list(statement: &str) -> Result<Vec<String>> {
    let list = statement.trim_start_matches("export ").trim();
    let properties = pairs(list)?.map(|(local, name)| format!("{name}: {local}"));
    Ok(properties.collect())
}

/// `export function a(…`, `export class A …`, `export const a = …`: the property for `a`.
fn exported_name(declaration: &str) -> Result<String> {
    let name = ["async function ", "function ", "class ", "const "]
        .iter()
        .find_map(|keyword| declaration.strip_prefix(keyword))
        .map(|rest| {
            rest.split(|c: char| !c.is_alphanumeric() && c != '_' && c != '$')
                .next()
                .unwrap_or_default()
        })
        .unwrap_or_default();
    if name.is_empty() {
        bail!(
            "cannot put `export {declaration}` into one script; write `export function`, `export class`, `export const NAME` or `export {{ … }};`"
        );
    }
    Ok(format!("{name}: {name}"))
}

/// `{ a, b as c }` as `(a, a)`, `(b, c)`.
fn pairs(list: &str) -> Result<impl Iterator<Item = (&str, &str)>> {
    let inner = list
        .strip_prefix('{')
        .and_then(|list| list.strip_suffix('}'))
        .with_context(|| format!("`{list}` is not a list of names in braces"))?;
    Ok(inner
        .split(',')
        .map(str::trim)
        .filter(|item| !item.is_empty())
        .map(|item| item.split_once(" as ").unwrap_or((item, item))))
}

/// `pkg/wasm/verifier.js` → `pkg_wasm_verifier`.
fn identifier(path: &str) -> String {
    path.trim_end_matches(".js").replace(|c: char| !c.is_ascii_alphanumeric(), "_")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn linked(files: &[(&str, &str)]) -> Result<String> {
        let read = |path: &str| {
            files
                .iter()
                .find(|(name, _)| *name == path)
                .map(|(_, text)| (*text).to_owned())
                .with_context(|| format!("cannot read {path}"))
        };
        link(files[0].0, &read)
    }

    #[test]
    fn modules_come_after_what_they_import_and_once() {
        let script = linked(&[
            (
                "www/app.js",
                "import \"./b.js\";\nimport d, { x, y as z } from \"../pkg/c.js\";\nd(x, z);\n",
            ),
            ("www/b.js", "import * as c from \"../pkg/c.js\";\nc.x();\n"),
            (
                "pkg/c.js",
                "export function x() {}\nexport const y = 1;\nfunction e() {}\nexport {\n  e as default,\n};\n",
            ),
        ])
        .unwrap();
        assert_eq!(
            script,
            "
// ──── pkg/c.js
const pkg_c = (() => {
function x() {}
const y = 1;
function e() {}

return { x: x, y: y, default: e };
})();

// ──── www/b.js
const www_b = (() => {
const c = pkg_c;
c.x();
return {  };
})();

// ──── www/app.js
const www_app = (() => {

const { default: d, x: x, y: z } = pkg_c;
d(x, z);
return {  };
})();

"
        );
    }

    #[test]
    fn comments_are_left_alone() {
        let source = "/*\nexport function old() {}\n*/\n/** one line */\nexport const a = 1;\n";
        let script = linked(&[("a.js", source)]).unwrap();
        assert!(script.contains("\nexport function old() {}\n"), "{script}");
        assert!(script.contains("return { a: a };"), "{script}");
    }

    #[test]
    fn what_would_change_its_meaning_is_refused() {
        for (source, complaint) in [
            ("export let a = 1;\n", "a.js:1"),
            ("export default 1;\n", "export default"),
            ("export { a } from \"./b.js\";\n", "not a list of names"),
            ("import a from \"lodash\";\n", "must be relative"),
            ("import a from \"../../a.js\";\n", "leaves the repository"),
            ("import \"./a.js\";\n", "import cycle: www/a.js → www/a.js"),
            ("const a = '</script>';\n", "would end"),
            ("import {\n", "no `;`"),
        ] {
            let error = format!("{:#}", linked(&[("www/a.js", source)]).unwrap_err());
            assert!(error.contains(complaint), "{source}: {error}");
        }
    }
}
