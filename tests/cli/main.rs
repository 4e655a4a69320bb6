//! The command line program from outside: what is typed, what comes back, what is on the disk.

mod bad_input;
mod commands;
mod damage;

mod policies;

