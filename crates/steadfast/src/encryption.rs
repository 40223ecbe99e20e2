//! With which keys a component's values are encrypted, as its file says.

use state_config::{Component, Properties};
use state_layers::{Encryption, EncryptionKey, WrittenForm};
use tracing::{info, warn};

const PRIMARY: &str = "primaryEncryptionKey";
const SECONDARY: &str = "secondaryEncryptionKey";
const FORMAT: &str = "encryptionFormat";

/// Takes the keys out of a component, so that nobody sees them after this: the store itself least of
/// all. `None` if values are not to be encrypted.
///
/// # Errors
///
/// If anything about them is not as it should be: a store is not used without the encryption that its
/// file asks for.
pub(crate) fn take(component: &mut Component) -> Result<Option<Encryption>, String> {
    let place = {
        let Component { name, source, .. } = &*component;
        format!("{}:{}: component `{name}`", source.file.display(), source.line)
    };
    take_from(&mut component.properties).map_err(|e| format!("{place}: {e}"))
}

/// Says that values are encrypted, in the words that tools look for. Source: Dapr's log.
pub(crate) fn announce(store: &str, encryption: &Encryption) {
    info!("Automatic encryption enabled for state store {store}");
    if encryption.written() == WrittenForm::Dapr {
        // Source: NIST SP 800-38D, section 8.3, for nonces of 96 random bits.
        warn!(
            component = store,
            "values are written in Dapr's form: use another key after 4 billion writes"
        );
    }
}

fn take_from(properties: &mut Properties) -> Result<Option<Encryption>, String> {
    // Whoever has made a mistake here believes that values are encrypted.
    if let Some((wrong, meant)) = properties.misspelt(&[PRIMARY, SECONDARY, FORMAT]) {
        return Err(format!("there is no metadata field `{wrong}`; did you mean `{meant}`?"));
    }
    let format = properties.take(FORMAT);
    let written = match format.as_deref().map(|it| it.to_lowercase()).as_deref() {
        None | Some("steadfast") => WrittenForm::Steadfast,
        Some("steadfast-only") => WrittenForm::SteadfastOnly,
        Some("dapr") => WrittenForm::Dapr,
        Some(_) => return Err(format!("{FORMAT} is steadfast, steadfast-only or dapr")),
    };
    let (primary, secondary) = (key(properties, PRIMARY)?, key(properties, SECONDARY)?);
    let Some(primary) = primary else {
        if secondary.is_some() || format.is_some() {
            let given = if secondary.is_some() { SECONDARY } else { FORMAT };
            return Err(format!(
                "there is {given} and no {PRIMARY}: values would be stored in plain text; add it, or \
                 remove {given}"
            ));
        }
        return Ok(None);
    };
    Encryption::new(primary, secondary, written).map(Some).map_err(|e| e.to_string())
}

fn key(properties: &mut Properties, field: &str) -> Result<Option<EncryptionKey>, String> {
    let secret = properties.secret_of(field).map(str::to_owned);
    let Some(hex) = properties.take(field) else { return Ok(None) };
    let Some(secret) = secret else {
        // Differs from Dapr: it takes the key, and cannot read what it has written with it.
        return Err(format!(
            "{field} is not taken from a secret store, and stored values call a key by the name of \
             its secret: write `secretKeyRef: {{name: <secret>, key: <key>}}`; a variable of the \
             environment is a secret of a secret store of type secretstores.local.env"
        ));
    };
    let key = EncryptionKey::from_hex(&secret, &hex);
    key.map(Some).map_err(|e| format!("{field}, secret `{secret}`: {e}"))
}
