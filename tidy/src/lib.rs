//! Rules about this repository that the compiler does not know, as tests.

#[cfg(test)]
mod manifests;
#[cfg(test)]
mod texts;

#[cfg(test)]
fn root() -> &'static std::path::Path {
    std::path::Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}
