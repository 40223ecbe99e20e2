//! A sidecar, ours or Dapr's, as a store: what can be run against a store can be run against a sidecar.
