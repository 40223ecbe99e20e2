//! Finds out which guarantees a store keeps: clients that contend, a history of what they saw, a verdict for each guarantee.
