//! The portable core of RLHF Audit Trail: what an event is, how events become a Merkle log, and how
