//! Connections: bounded in number and in time, and closed in good order.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::body::Body;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use crate::app::App;
use crate::engine::Course;
use crate::patient::Patient;
use crate::routes::{self, Peer};

/// How often it is looked whether the server is to stop.
const LOOK: Duration = Duration::from_millis(20);
/// How long connections have to send what is left once their texts were ended.
const LAST_WORDS: Duration = Duration::from_secs(2);
/// How long nobody is let in after the system could not open a connection.
const REST: Duration = Duration::from_millis(50);

/// Serves until `stop` is set; then ends what is on its way, or cuts it when it takes too long.
pub(crate) async fn serve(listener: TcpListener, app: Arc<App>, stop: &AtomicBool) {
    let router = routes::router(app.clone());
    let places = Arc::new(Semaphore::new(app.config.limits.connections));
    let graceful = GracefulShutdown::new();
    loop {
        let Some(place) = unless(stop, places.clone().acquire_owned()).await.and_then(Result::ok) else { break };
        match unless(stop, listener.accept()).await {
            None => break,
            Some(Ok((stream, address))) => {
                let service = TowerToHyperService::new(router.clone());
                let answer = service_fn(move |request: hyper::Request<Incoming>| {
                    let mut request = request.map(Body::new);
                    request.extensions_mut().insert(Peer(address.ip()));
                    service.call(request)
                });
                let connection = http1::Builder::new()
                    .timer(TokioTimer::new())
                    .header_read_timeout(app.config.limits.receive)
                    .serve_connection(TokioIo::new(Patient::new(stream, app.config.limits.send)), answer);
                let watched = graceful.watch(connection);
                tokio::spawn(async move {
                    // Whatever a client does wrong with its connection is its own matter.
                    drop(watched.await);
                    drop(place);
                });
            }
            // No descriptors left, or a client that went at once: neither is a reason to stop.
            Some(Err(_)) => tokio::time::sleep(REST).await,
        }
    }
    drop(listener);
    app.stopping.store(true, Ordering::Relaxed);
    set_course(&app, Course::Draining);
    let closed = graceful.shutdown();
    tokio::pin!(closed);
    if tokio::time::timeout(app.config.limits.grace, &mut closed).await.is_err() {
        set_course(&app, Course::Ending);
        drop(tokio::time::timeout(LAST_WORDS, closed).await);
    }
}

fn set_course(app: &App, course: Course) {
    app.models.values().for_each(|served| served.engine.set_course(course));
}

/// What a future gives, or `None` once `stop` is set.
async fn unless<F: Future>(stop: &AtomicBool, future: F) -> Option<F::Output> {
    tokio::pin!(future);
    loop {
        if stop.load(Ordering::Relaxed) {
            return None;
        }
        if let Ok(output) = tokio::time::timeout(LOOK, &mut future).await {
            return Some(output);
        }
    }
}
