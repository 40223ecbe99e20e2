//! What the sidecar adds to any store, each as a store around another.
