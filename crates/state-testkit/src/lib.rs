//! The contract of a store as runnable cases, written once for every store and every front.
