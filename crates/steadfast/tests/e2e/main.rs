//! The program itself, as its users run it: real processes, real ports, real files.

mod crash;
mod run;
mod serve;
mod support;
