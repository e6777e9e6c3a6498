//! Places as people and configurations write them: whoever is named cannot be taken for an option or a command.

use sterna_client::{Destination, Place};

/// Input: a byte that says what is read, then the text.
pub fn run(data: &[u8]) {
    let Some((kind, text)) = data.split_first() else { return };
    let place = match kind % 3 {
        0 => Destination::parse(text).ok(),
        1 => std::str::from_utf8(text).ok().and_then(|text| Destination::parse_hop(text).ok()),
        _ => match Place::parse(text) {
            Ok(Place::Remote(place)) => Some(place),
            Ok(Place::Local(path)) => {
                assert_eq!(path.as_os_str().as_encoded_bytes(), text);
                None
            }
            Err(_) => None,
        },
    };
    let Some(place) = place else { return };
    for name in place.user().into_iter().chain([place.host()]) {
        assert!(!name.starts_with('-') && !name.contains(char::is_control), "{name:?}");
    }
    assert!(!place.host().is_empty() && !place.path().contains(&0));
    // Its parts make it again.
    let user = place.user().map(str::to_owned);
    let again = Destination::new(user, place.host(), place.port(), place.path());
    assert_eq!(again.ok(), Some(place));
}
