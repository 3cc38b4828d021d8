//! Requests in JSON.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use axum::http::{StatusCode, header};
use serde::de::value::MapAccessDeserializer;
use serde::de::{DeserializeOwned, Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use tokio::sync::OwnedSemaphorePermit;

use crate::app::{App, BODY_UNIT};
use crate::error::{ApiError, ApiResult};

/// A request that was read. It keeps its room until it is dropped.
#[derive(Debug)]
pub(crate) struct Received<T> {
    pub(crate) asked: T,
    pub(crate) room: OwnedSemaphorePermit,
}

/// Reads a request: its type, its size, its time and each of its fields are checked.
pub(crate) async fn json<T: DeserializeOwned>(app: &App, request: Request) -> ApiResult<Received<T>> {
    let most = app.config.limits.body_bytes;
    let length = length(&request)?.unwrap_or(most);
    let too_large = || {
        let message = format!("a request may have {most} bytes");
        ApiError::refused(StatusCode::PAYLOAD_TOO_LARGE, "too_large", message)
    };
    if length > most {
        return Err(too_large());
    }
    let units = u32::try_from(length.div_ceil(BODY_UNIT)).unwrap_or(u32::MAX);
    let room = app.bodies.clone().try_acquire_many_owned(units).map_err(|_| ApiError::busy())?;
    let read = tokio::time::timeout(app.config.limits.receive, Bytes::from_request(request, &()));
    let body = match read.await {
        Ok(Ok(body)) => body,
        Ok(Err(rejection)) if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE => return Err(too_large()),
        Ok(Err(_)) => return Err(ApiError::invalid("", "the request ended too early")),
        Err(_) => {
            let message = "the request was not sent in time";
            return Err(ApiError::refused(StatusCode::REQUEST_TIMEOUT, "timeout", message));
        }
    };
    Ok(Received { asked: parse(&body)?, room })
}

/// The length of a request in JSON, where it is said.
fn length(request: &Request) -> ApiResult<Option<usize>> {
    let header = |name| request.headers().get(name).and_then(|value| value.to_str().ok());
    let kind = header(header::CONTENT_TYPE).and_then(|kind| kind.split(';').next()).unwrap_or_default();
    match kind.trim().eq_ignore_ascii_case("application/json") {
        true => Ok(header(header::CONTENT_LENGTH).and_then(|length| length.parse().ok())),
        // A page of another origin can't send this type without being asked whether it may.
        false => Err(ApiError::refused(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "unsupported_media_type",
            "send JSON, with `Content-Type: application/json`",
        )),
    }
}

/// Reads JSON; what is wrong is named by its place.
pub(crate) fn parse<T: DeserializeOwned>(body: &[u8]) -> ApiResult<T> {
    // A list would be taken for an object whose names were left out.
    if body.trim_ascii_start().first().is_some_and(|first| *first != b'{') {
        return Err(ApiError::invalid("", "the request is not what is expected: send an object, `{...}`"));
    }
    let mut json = serde_json::Deserializer::from_slice(body);
    let value = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let path = error.path().to_string();
        // Where no name was read, the path ends in a question mark.
        let path = path.trim_end_matches('?').trim_end_matches('.');
        ApiError::invalid(path, format!("the request is not what is expected: {}", plain(&error.inner().to_string())))
    })?;
    json.end().map_err(|error| ApiError::invalid("", format!("the request is not what is expected: {error}")))?;
    Ok(value)
}

/// What is expected where a list, a number or a text is not.
const OBJECT: &str = "an object";

/// What serde calls numbers, for people.
const NUMBERS: [(&str, &str); 6] = [
    ("usize", "a whole number of at least 0"),
    ("u64", "a whole number of at least 0"),
    ("u32", "a whole number from 0 to 4294967295"),
    ("i64", "a whole number"),
    ("f32", "a number"),
    ("f64", "a number"),
];

/// serde's message, without words of Rust. It quotes the client before it says what it expected.
fn plain(message: &str) -> String {
    let Some((wrong, expected)) = message.rsplit_once(", expected ") else { return message.to_owned() };
    let (kind, place) = expected.split_once(' ').unwrap_or((expected, ""));
    match NUMBERS.iter().find(|(name, _)| *name == kind) {
        Some((_, words)) => format!("{wrong}, expected {words} {place}"),
        None => message.to_owned(),
    }
}

/// An object whose names differ, or none: of two values of one name, serde would drop the first.
pub(crate) fn distinct<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<BTreeMap<u32, f32>>, D::Error> {
    struct Distinct(BTreeMap<u32, f32>);
    impl<'de> Deserialize<'de> for Distinct {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            deserializer.deserialize_map(DistinctVisitor).map(Self)
        }
    }
    struct DistinctVisitor;
    impl<'de> Visitor<'de> for DistinctVisitor {
        type Value = BTreeMap<u32, f32>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(OBJECT)
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut all = BTreeMap::new();
            while let Some((name, value)) = map.next_entry()? {
                if all.insert(name, value).is_some() {
                    return Err(A::Error::custom(format!("{name} stands there twice")));
                }
            }
            Ok(all)
        }
    }
    Ok(object::<D, Distinct>(deserializer)?.map(|all| all.0))
}

/// An object, or none. serde also takes a list for an object whose names were left out.
pub(crate) fn object<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    struct ObjectVisitor<T>(PhantomData<T>);
    impl<'de, T: Deserialize<'de>> Visitor<'de> for ObjectVisitor<T> {
        type Value = Option<T>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(OBJECT)
        }

        fn visit_unit<E>(self) -> Result<Self::Value, E> {
            Ok(None)
        }

        fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
            T::deserialize(MapAccessDeserializer::new(map)).map(Some)
        }
    }
    deserializer.deserialize_any(ObjectVisitor(PhantomData))
}
