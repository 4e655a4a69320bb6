//! Faults for tests: the disk fails, the process dies, the power goes.
