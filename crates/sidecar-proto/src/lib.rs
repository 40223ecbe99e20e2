//! The messages and services of Dapr's gRPC API that concern state.
//!
//! `proto/` has them as Protocol Buffers. What is generated from them is checked in, so that a build needs no compiler
//! for them; a test makes it anew and compares.
//!
//! To change them: edit `proto/`, then run `STEADFAST_GENERATE=1 cargo test -p sidecar-proto`.

#![allow(
    missing_docs,
    reason = "what is generated has the comments of the .proto files, where they have some"
)]

/// What several of Dapr's services share.
pub mod common {
    /// `dapr.proto.common.v1`
    pub mod v1 {
        include!("generated/dapr.proto.common.v1.rs");
    }
}

/// The service that applications call.
pub mod runtime {
    /// `dapr.proto.runtime.v1`
    pub mod v1 {
        include!("generated/dapr.proto.runtime.v1.rs");
    }
}

/// The `.proto` files themselves, encoded as a `FileDescriptorSet`: what server reflection answers with.
pub const DESCRIPTORS: &[u8] = include_bytes!("generated/descriptors.bin");
