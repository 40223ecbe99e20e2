//! Every database the sidecar can keep state in: one module, and one line of the table, each.
