//! The client against servers of its own: who is connected to, and what an answer may do.

use super::*;
use crate::batch::{Batch, Pending};
use crate::signature::SigningSecrets;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcgen::{CertificateParams, Issuer, KeyPair};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use taghouse_model::{AppId, Name};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

struct Still;

impl Clock for Still {
    fn now_ms(&self) -> i64 {
        1_700_000_000_000
    }
}

/// A server that gives every request the same answer, and counts connections.
struct Canned {
    address: SocketAddr,
    connections: Arc<AtomicUsize>,
}

impl Canned {
    async fn start(answer: &'static str, tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let connections = Arc::new(AtomicUsize::new(0));
        let counted = connections.clone();
        tokio::spawn(async move {
            loop {
                let (socket, _) = listener.accept().await.unwrap();
                counted.fetch_add(1, Ordering::SeqCst);
                let tls = tls.clone();
                tokio::spawn(async move {
                    match tls {
                        Some(tls) => {
                            if let Ok(socket) = tls.accept(socket).await {
                                answered(socket, answer).await;
                            }
                        }
                        None => answered(socket, answer).await,
                    }
                });
            }
        });
        Self { address, connections }
    }

    fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    fn url(&self, scheme: &str, host: &str) -> String {
        format!("{scheme}://{host}:{}/", self.address.port())
    }
}

async fn answered(mut socket: impl AsyncRead + AsyncWrite + Unpin, answer: &str) {
    let mut bytes = [0; 4096];
    _ = socket.read(&mut bytes).await;
    _ = socket.write_all(answer.as_bytes()).await;
    // It never closes.
    std::future::pending::<()>().await;
}

async fn post(networks: &str, ca: Option<&Path>, url: &str) -> Attempt {
    let client = Client::new(networks.parse().unwrap(), ca, Arc::new(Still)).unwrap();
    let secret = format!("whsec_{}", STANDARD.encode([7; 32]));
    let destination = Destination {
        url: Url::parse(url).unwrap(),
        headers: HeaderMap::new(),
        secrets: SigningSecrets::read(&secret).unwrap(),
        timeout: Duration::from_secs(5),
    };
    let (app, sink) = (AppId::new("shop").unwrap(), Name::new("crm").unwrap());
    let (id, json) = ("shop-1".to_owned(), "{}".to_owned());
    let batch = Batch::of(&app, &sink, vec![Pending { low: 1, at_ms: 0, id, json }]);
    client.post(&destination, &batch.letter()).await
}

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello";

#[tokio::test]
async fn names_and_addresses_lead_nowhere_that_is_not_permitted() {
    let server = Canned::start(OK, None).await;
    for host in
        ["127.0.0.1", "localhost", "2130706433", "0x7f.1", "[::ffff:127.0.0.1]", "[::1]", "0.0.0.0"]
    {
        let attempt = post("10.0.0.0/8", None, &server.url("http", host)).await;
        let error = attempt.error.unwrap();
        assert!(error.contains("is not an address of the public internet"), "{host}: {error}");
        assert_eq!(attempt.status, None, "{host}");
    }
    assert_eq!(server.connections(), 0);
    for host in ["127.0.0.1", "localhost", "0x7f.1"] {
        let attempt = post("127.0.0.0/8", None, &server.url("http", host)).await;
        assert_eq!((attempt.status, attempt.error.as_deref()), (Some(200), None), "{host}");
        assert_eq!(attempt.said, "hello");
    }
    assert_eq!(server.connections(), 3);
}

#[tokio::test]
async fn answers_that_redirect_or_never_end_do_no_harm() {
    let redirect =
        "HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:9/\r\ncontent-length: 0\r\n\r\n";
    let server = Canned::start(redirect, None).await;
    let attempt = post("127.0.0.1", None, &server.url("http", "127.0.0.1")).await;
    assert_eq!(attempt.status, Some(302));
    assert!(attempt.error.unwrap().contains("a redirect, which is not followed"));

    let endless = "HTTP/1.1 200 OK\r\ncontent-length: 1000000000\r\n\r\nsome";
    let server = Canned::start(endless, None).await;
    let began = Instant::now();
    let attempt = post("127.0.0.1", None, &server.url("http", "127.0.0.1")).await;
    assert_eq!((attempt.status, attempt.error, attempt.said.as_str()), (Some(200), None, "some"));
    assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());

    let server = Canned::start("", None).await;
    let attempt = post("127.0.0.1", None, &server.url("http", "127.0.0.1")).await;
    assert_eq!(attempt.error.as_deref(), Some("no answer within 5000 ms"));
}

/// A certificate of an authority of our own, for this name, and the authority's.
fn certified(name: &str) -> (TlsAcceptor, String) {
    let authority_key = KeyPair::generate().unwrap();
    let mut authority = CertificateParams::new(Vec::new()).unwrap();
    authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let pem = authority.self_signed(&authority_key).unwrap().pem();
    let issuer = Issuer::new(authority, authority_key);
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    let certificate = params.signed_by(&key, &issuer).unwrap();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let chain = vec![certificate.der().clone()];
    let config = ServerConfig::builder().with_no_client_auth().with_single_cert(chain, key);
    (TlsAcceptor::from(Arc::new(config.unwrap())), pem)
}

#[tokio::test]
async fn certificates_are_verified() {
    let folder = tempfile::tempdir().unwrap();
    let ca = folder.path().join("ca.pem");
    let (acceptor, pem) = certified("localhost");
    std::fs::write(&ca, pem).unwrap();
    let server = Canned::start(OK, Some(acceptor)).await;
    let url = server.url("https", "localhost");
    let attempt = post("127.0.0.0/8,::1", Some(&ca), &url).await;
    assert_eq!((attempt.status, attempt.error), (Some(200), None));
    let attempt = post("127.0.0.0/8,::1", None, &url).await;
    let error = attempt.error.unwrap();
    assert!(error.contains("certificate"), "nobody trusts it: {error}");
    let attempt = post("127.0.0.1", Some(&ca), &server.url("https", "127.0.0.1")).await;
    let error = attempt.error.unwrap();
    assert!(error.contains("certificate"), "it is for another name: {error}");

    std::fs::write(&ca, "no certificate").unwrap();
    let refused = Client::new(Networks::default(), Some(&ca), Arc::new(Still));
    assert!(matches!(refused, Err(Error::Certificates { .. })));
    let missing = folder.path().join("none.pem");
    let refused = Client::new(Networks::default(), Some(&missing), Arc::new(Still));
    assert!(matches!(refused, Err(Error::Certificates { .. })));
}
