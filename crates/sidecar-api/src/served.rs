//! Which parts of the API are served on which wire: an operator may take some away.

/// The parts that are served.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Served {
    /// Over HTTP.
    pub http: Parts,
    /// Over gRPC.
    pub grpc: Parts,
}

/// The parts that are served on one wire. Health is always served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parts {
    /// State.
    pub state: bool,
    /// What the sidecar says of itself, and what it is told to say.
    pub metadata: bool,
    /// Ending the sidecar.
    pub shutdown: bool,
}

/// A part of the API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    State,
    Metadata,
    Shutdown,
}

impl Default for Parts {
    fn default() -> Parts {
        Parts { state: true, metadata: true, shutdown: true }
    }
}

impl Parts {
    pub(crate) fn have(self, part: Part) -> bool {
        match part {
            Part::State => self.state,
            Part::Metadata => self.metadata,
            Part::Shutdown => self.shutdown,
        }
    }
}
