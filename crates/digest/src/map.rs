//! The bytes of a file where the system has cached them, without the copy that reading makes: a fifth of the time
//! on one core.
//!
//! A process that touches mapped bytes that are no longer there, because somebody made the file shorter or its disk
//! failed, is ended by a signal (SIGBUS). Here a handler puts zeros in their place and remembers that it did, so
//! that the digest is thrown away with an error, as after a read that failed. Signals of other mappings go to
//! whoever handled them before. Linux only: elsewhere nothing is mapped.

use std::fs::File;

/// A file that is mapped.
#[derive(Debug)]
pub(crate) struct Map(linux::Map);

impl Map {
    /// Maps the first bytes of a file; `None` where the system does not, or so many are mapped already that no
    /// more can be watched over. They can be read then.
    pub fn new(file: &File, length: u64) -> Option<Self> {
        linux::Map::new(file, usize::try_from(length).ok().filter(|length| *length > 0)?).map(Self)
    }

    /// Bytes of the file, fetched at once; `None` where there are none.
    pub fn bytes(&self, from: u64, length: usize) -> Option<&[u8]> {
        self.0.bytes(usize::try_from(from).ok()?, length)
    }

    /// Whether zeros stood in for bytes that were not there.
    pub fn is_torn(&self) -> bool {
        self.0.is_torn()
    }
}

#[cfg(target_os = "linux")]
#[allow(unsafe_code)]
mod linux {
    use std::fs::File;
    use std::mem::MaybeUninit;
    use std::ptr;
    use std::sync::OnceLock;
    use std::sync::atomic::Ordering::SeqCst;
    use std::sync::atomic::{AtomicBool, AtomicUsize};

    use memmap2::{Advice, Mmap};

    #[derive(Debug)]
    pub struct Map {
        bytes: Mmap,
        watched: &'static Watched,
    }

    impl Map {
        pub fn new(file: &File, length: usize) -> Option<Self> {
            install().then_some(())?;
            // SAFETY: the bytes are read as numbers, of which any is valid; that others may write to the file
            // meanwhile is why its stamps are compared afterwards; that they may make it shorter, why it is watched.
            let bytes = unsafe { memmap2::MmapOptions::new().len(length).map(file) }.ok()?;
            let begin = bytes.as_ptr() as usize;
            let watched = ALL.iter().find(|watched| watched.take(begin, begin + length))?;
            Some(Self { bytes, watched })
        }

        pub fn bytes(&self, from: usize, length: usize) -> Option<&[u8]> {
            let bytes = self.bytes.get(from..from.checked_add(length)?)?;
            // One call instead of a fault for every few pages. Old systems do not know it.
            let _ = self.bytes.advise_range(Advice::PopulateRead, from, length);
            Some(bytes)
        }

        pub fn is_torn(&self) -> bool {
            self.watched.torn.load(SeqCst)
        }
    }

    impl Drop for Map {
        /// Before the mapping itself is dropped, as its addresses are another's then.
        fn drop(&mut self) {
            self.watched.begin.store(FREE, SeqCst);
        }
    }

    /// The addresses of a mapping, for the handler.
    #[derive(Debug)]
    struct Watched {
        begin: AtomicUsize,
        end: AtomicUsize,
        torn: AtomicBool,
    }

    /// No address is as high.
    const FREE: usize = usize::MAX;
    const TAKEN: usize = usize::MAX - 1;

    static ALL: [Watched; 1024] = [const {
        Watched {
            begin: AtomicUsize::new(FREE),
            end: AtomicUsize::new(0),
            torn: AtomicBool::new(false),
        }
    }; 1024];

    impl Watched {
        fn take(&self, begin: usize, end: usize) -> bool {
            let taken = self.begin.compare_exchange(FREE, TAKEN, SeqCst, SeqCst).is_ok();
            if taken {
                self.torn.store(false, SeqCst);
                self.end.store(end, SeqCst);
                self.begin.store(begin, SeqCst);
            }
            taken
        }

        /// Where the mapping that has this address ends. Others may come and go meanwhile, this one does not: a
        /// thread is reading it.
        fn end(&self, address: usize) -> Option<usize> {
            let (begin, end) = (self.begin.load(SeqCst), self.end.load(SeqCst));
            let is_here = begin <= address && address < end && begin == self.begin.load(SeqCst);
            is_here.then_some(end)
        }
    }

    /// Who handled the signal before.
    static BEFORE: OnceLock<libc::sigaction> = OnceLock::new();

    /// Sets the handler, once in a process; false where it cannot.
    fn install() -> bool {
        static INSTALLED: OnceLock<bool> = OnceLock::new();
        *INSTALLED.get_or_init(|| {
            let mut before = MaybeUninit::uninit();
            // SAFETY: both pointers are as the function wants them, and it fills `before` where it gives 0. The
            // handler does only what may be done in one (signal-safety(7)).
            unsafe {
                if libc::sigaction(libc::SIGBUS, ptr::null(), before.as_mut_ptr()) != 0 {
                    return false;
                }
                BEFORE.get_or_init(|| before.assume_init());
                let mut action: libc::sigaction = MaybeUninit::zeroed().assume_init();
                action.sa_sigaction = on_signal as *const () as usize;
                action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
                libc::sigemptyset(&raw mut action.sa_mask);
                libc::sigaction(libc::SIGBUS, &raw const action, ptr::null_mut()) == 0
            }
        })
    }

    type Handler = extern "C" fn(libc::c_int, *mut libc::siginfo_t, *mut libc::c_void);

    extern "C" fn on_signal(
        signal: libc::c_int,
        info: *mut libc::siginfo_t,
        context: *mut libc::c_void,
    ) {
        // SAFETY: the system gives the handler of this signal the address that could not be read.
        let address = unsafe { (*info).si_addr() } as usize;
        let found = ALL.iter().find_map(|watched| Some((watched, watched.end(address)?)));
        if let Some((watched, end)) = found
            && put_zeros(address, end)
        {
            watched.torn.store(true, SeqCst);
            return;
        }
        pass_on(signal, info, context);
    }

    /// Maps zeros over the rest of a mapping, from the page of an address on. The interrupted instruction reads them
    /// when it is tried again.
    fn put_zeros(address: usize, end: usize) -> bool {
        // SAFETY: the pages belong to a mapping of this module, which lives as long as its addresses are watched; it
        // is only read, and any bytes may stand there. The calls touch no memory of ours, and keep `errno`.
        unsafe {
            let page = libc::sysconf(libc::_SC_PAGESIZE) as usize;
            let from = address / page * page;
            let errno = *libc::__errno_location();
            let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED;
            let at = from as *mut libc::c_void;
            let put = libc::mmap(at, end - from, libc::PROT_READ, flags, -1, 0);
            *libc::__errno_location() = errno;
            put == at
        }
    }

    /// To whoever handled it before; without anybody, the system ends the process, as the instruction fails again.
    fn pass_on(signal: libc::c_int, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
        let before = BEFORE.get();
        let handler = before.map_or(libc::SIG_DFL, |before| before.sa_sigaction);
        if handler == libc::SIG_DFL || handler == libc::SIG_IGN {
            // SAFETY: setting the default takes no pointer.
            unsafe { libc::signal(signal, libc::SIG_DFL) };
        } else if before.is_some_and(|before| before.sa_flags & libc::SA_SIGINFO != 0) {
            // SAFETY: whoever set the flag gave a function with these parameters.
            let handler = unsafe { std::mem::transmute::<usize, Handler>(handler) };
            handler(signal, info, context);
        } else {
            // SAFETY: without the flag, a handler has the one parameter.
            let handler =
                unsafe { std::mem::transmute::<usize, extern "C" fn(libc::c_int)>(handler) };
            handler(signal);
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod linux {
    use std::fs::File;

    #[derive(Debug)]
    pub enum Map {}

    impl Map {
        pub fn new(_: &File, _: usize) -> Option<Self> {
            None
        }

        pub fn bytes(&self, _: usize, _: usize) -> Option<&[u8]> {
            match *self {}
        }

        pub fn is_torn(&self) -> bool {
            match *self {}
        }
    }
}

#[cfg(all(test, target_os = "linux"))]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn sum(bytes: &[u8]) -> u64 {
        bytes.iter().map(|byte| u64::from(*byte)).sum()
    }

    fn file_of(length: usize) -> File {
        let file = tempfile::tempfile().unwrap();
        std::os::unix::fs::FileExt::write_all_at(&file, &vec![1; length], 0).unwrap();
        file
    }

    #[test]
    fn a_file_that_becomes_shorter_does_not_end_the_process() {
        const LENGTH: usize = 1 << 20;
        let (torn, whole) = (file_of(LENGTH), file_of(LENGTH));
        let map = |file: &File| Map::new(file, LENGTH as u64).unwrap();
        let (map, other) = (map(&torn), map(&whole));
        let bytes = map.bytes(0, LENGTH).unwrap();
        assert_eq!((sum(bytes), map.is_torn()), (LENGTH as u64, false));
        torn.set_len(5000).unwrap();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                // Of the last page that is there, the rest is zeros, of which the system tells nobody.
                scope.spawn(|| assert_eq!(sum(std::hint::black_box(bytes)), 5000));
            }
        });
        assert!(map.is_torn() && !other.is_torn());
        assert_eq!(sum(other.bytes(0, LENGTH).unwrap()), LENGTH as u64);
    }

    #[test]
    fn places_are_used_again() {
        let file = file_of(10);
        for _ in 0..3000 {
            let map = Map::new(&file, 10).unwrap();
            assert_eq!(map.bytes(3, 7).unwrap(), [1; 7]);
            assert!(map.bytes(4, 7).is_none() && !map.is_torn());
        }
        assert!(Map::new(&file, 0).is_none());
    }
}
