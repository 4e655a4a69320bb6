//! The lengths in a time stamp, looked at before it is read: the `der` crate makes room for as many bytes as
//! a length names, up to 256 MiB, before it looks whether they are there.

/// Real ones lie 14 deep one inside the other.
const MAX_DEPTH: u8 = 32;

const OCTET_STRING: u8 = 0x04;
const CONSTRUCTED: u8 = 0x20;
/// All bits are zero in the tags that X.680 defines itself.
const CLASS: u8 = 0xc0;
/// `[0] EXPLICIT`.
const CONTEXT_0: u8 = 0xa0;

/// Whether each value, and each value inside, has the bytes that its length names (X.690 section 8.1.3). In
/// an OCTET STRING alone in `[0]` there are values as well: it is the `eContent` of RFC 5652 section 5.2.
pub fn lengths_fit(der: &[u8]) -> bool {
    fit(der, 0, MAX_DEPTH)
}

fn fit(mut der: &[u8], inside: u8, depth: u8) -> bool {
    let Some(depth) = depth.checked_sub(1) else { return false };
    while let [tag, rest @ ..] = der {
        let Some((content, after)) = split(rest) else { return false };
        let alone = inside == CONTEXT_0 && *tag == OCTET_STRING && after.is_empty();
        let whole = match tag & CONSTRUCTED {
            0 if alone => fit(content, *tag, depth),
            // `der` reads values inside here too, where it expects some.
            0 if tag & CLASS != 0 => !makes_room(content, depth),
            0 => true,
            _ => fit(content, *tag, depth),
        };
        if !whole {
            return false;
        }
        der = after;
    }
    true
}

/// Whether these bytes, which may be a hash or a number as well as values, name a length of 64 KiB or more
/// that is not there. Of the hashes by which a stamp may name its key, one in some hundred does; those stamps
/// are lost.
fn makes_room(mut der: &[u8], depth: u8) -> bool {
    let Some(depth) = depth.checked_sub(1) else { return true };
    while let [_, rest @ ..] = der {
        let Some((content, after)) = split(rest) else {
            return matches!(rest, [0x83, _, _, _, ..] | [0x84, 0..=0x0f, _, _, _, ..]);
        };
        if makes_room(content, depth) {
            return true;
        }
        der = after;
    }
    false
}

/// The content, after its length, and what follows it.
fn split(der: &[u8]) -> Option<(&[u8], &[u8])> {
    match der.split_first()? {
        (&short @ 0..=0x7f, rest) => rest.split_at_checked(short.into()),
        (&long @ 0x81..=0x84, rest) => {
            let (length, rest) = rest.split_at_checked(usize::from(long & 0x7f))?;
            let length = length.iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte));
            rest.split_at_checked(length)
        }
        // DER has no others (X.690 section 10.1), nor has `der`.
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::lengths_fit;

    #[test]
    fn a_length_that_promises_too_much_is_seen_wherever_it_stands() {
        let good: [&[u8]; 7] = [
            &[0x30, 0x03, 0x02, 0x01, 0x07],
            &[0x30, 0x81, 0x03, 0x02, 0x01, 0x07],
            // A hash may begin like a sequence.
            &[0x30, 0x04, 0x04, 0x02, 0x30, 0x7f],
            &[0xa0, 0x04, 0x04, 0x02, 0x30, 0x00],
            // 500 milliseconds, a short text, a hash.
            &[0x30, 0x04, 0x80, 0x02, 0x01, 0xf4],
            &[0x30, 0x07, 0x86, 0x05, 0x68, 0x74, 0x74, 0x70, 0x73],
            &[0x30, 0x05, 0x80, 0x03, 0x84, 0x7f, 0x01],
        ];
        good.iter().for_each(|der| assert!(lengths_fit(der), "{der:02x?}"));
        let bad: [&[u8]; 8] = [
            &[0x30],
            &[0x02, 0x84, 0x0f, 0xff, 0xff, 0xff],
            &[0x30, 0x06, 0x02, 0x83, 0x83, 0x83, 0x83, 0x00],
            &[0x30, 0x03, 0x02, 0x02, 0x07],
            &[0xa0, 0x04, 0x04, 0x02, 0x30, 0x7f],
            // In a tag that does not say that there are values inside.
            &[0x80, 0x08, 0x30, 0x06, 0x04, 0x84, 0x03, 0x02, 0x07, 0x80],
            // Of indefinite length.
            &[0x30, 0x80, 0x00, 0x00],
            &[0x02, 0x85, 0x00, 0x00, 0x00, 0x00, 0x00],
        ];
        bad.iter().for_each(|der| assert!(!lengths_fit(der), "{der:02x?}"));
    }

    #[test]
    fn what_lies_too_deep_is_refused_and_not_followed() {
        let nested = |depth: usize| {
            (0..depth).fold(Vec::new(), |inner, _| {
                let length = u32::try_from(inner.len()).unwrap().to_be_bytes();
                [&[0x30, 0x84], length.as_slice(), &inner].concat()
            })
        };
        assert!(lengths_fit(&nested(31)));
        assert!(!lengths_fit(&nested(32)));
        assert!(!lengths_fit(&nested(2000)));
    }
}
