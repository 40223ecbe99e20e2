//! The checker, judged: by histories whose verdict is known, by every order of small ones, and by
//! what it makes of stores with a defect.

mod agreement;
mod golden;
mod judge;
mod simulation;
mod size;
