//! A TCP proxy that delays, cuts, resets and withholds what passes through it, on command.
