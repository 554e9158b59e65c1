use super::*;
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc;

/// A server that answers or closes the connection as a script says, one step per request; gives
/// what it read of each, with the number of its connection.
struct Scripted {
    base: String,
    requests: mpsc::Receiver<(usize, String)>,
}

#[derive(Clone, Copy)]
enum Step {
    /// Answers with this status, and keeps the connection.
    Answer(u16),
    /// Closes without an answer, after it has read the request whole.
    Break,
    /// Answers with this status, and closes as if the connection had been idle for long.
    AnswerAndClose(u16),
}

fn scripted(steps: &'static [Step]) -> Scripted {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let (send, requests) = mpsc::channel();
    std::thread::spawn(move || {
        let mut steps = steps.iter();
        for (number, socket) in listener.incoming().enumerate() {
            let mut socket = socket.unwrap();
            while let Some(request) = request(&mut socket) {
                let step = *steps.next().unwrap();
                send.send((number, request)).unwrap();
                if let Step::Answer(status) | Step::AnswerAndClose(status) = step {
                    write!(socket, "HTTP/1.1 {status} X\r\ncontent-length: 2\r\n\r\n{{}}").unwrap();
                }
                if !matches!(step, Step::Answer(_)) {
                    break;
                }
            }
        }
    });
    Scripted { base, requests }
}

/// The next request of a connection, with its body; `None` where the caller closed it.
fn request(socket: &mut TcpStream) -> Option<String> {
    let (mut bytes, mut part) = (Vec::new(), [0; 4096]);
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let lower = head.to_ascii_lowercase();
            let length = lower
                .lines()
                .find_map(|line| line.strip_prefix("content-length: ")?.parse().ok())
                .unwrap_or(0);
            let chunked = lower.contains("chunked");
            if if chunked { body.ends_with("0\r\n\r\n") } else { body.len() >= length } {
                return Some(text);
            }
        }
        match socket.read(&mut part) {
            Ok(0) | Err(_) => return None,
            Ok(read) => bytes.extend_from_slice(&part[..read]),
        }
    }
}

/// Runs a call against the script; gives whether it succeeded, and the connection of each
/// request that came.
fn check<'a>(
    steps: &'static [Step],
    call: impl AsyncFn(&Client) -> Result<()>,
    ends: Result<(), &str>,
    connections: impl Into<Option<&'a [usize]>>,
) {
    let server = scripted(steps);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
    let client = Client::http(&server.base, "key".to_owned());
    let ended = runtime.block_on(call(&client)).map_err(|error| format!("{error:#}"));
    match (&ended, ends) {
        (Ok(()), Ok(())) => {}
        (Err(said), Err(word)) => assert!(said.contains(word), "{said}"),
        _ => panic!("{ended:?}, not {ends:?}"),
    }
    let received: Vec<(usize, String)> = server.requests.try_iter().collect();
    if let Some(connections) = connections.into() {
        assert_eq!(received.iter().map(|(number, _)| *number).collect::<Vec<_>>(), connections);
    }
    assert!(
        received.windows(2).all(|pair| !pair[0].1.starts_with("PUT") || pair[0].1 == pair[1].1),
        "a file is sent whole again: {received:?}"
    );
}

#[test]
fn a_connection_that_breaks_costs_another_try_where_that_is_safe() {
    use Step::{Answer, AnswerAndClose, Break};
    let get = async |client: &Client| client.get::<Value>("/x").await.map(drop);
    let ask = async |client: &Client| client.ask::<Value>("/x", &Value::Null).await.map(drop);
    let post = async |client: &Client| client.post::<Value>("/x", &Value::Null).await.map(drop);
    let delete = async |client: &Client| client.delete("/x").await.map(drop);
    check(&[Break, Break, Answer(200)], get, Ok(()), &[0, 1, 2][..]);
    check(&[Break, Answer(200)], ask, Ok(()), &[0, 1][..]);
    check(&[Break; 4], get, Err("is the server running"), &[0, 1, 2, 3][..]);
    check(&[Break], post, Err("may have been done or not"), &[0][..]);
    check(&[Break], delete, Err("may have been done or not"), &[0][..]);
    check(&[Answer(503)], get, Err("503"), &[0][..]);

    // The worst moment: the server closes the kept connection while the next call is on its
    // way.
    let then = async |client: &Client| {
        client.get::<Value>("/x").await?;
        client.post::<Value>("/x", &Value::Null).await?;
        client.get::<Value>("/x").await.map(drop)
    };
    check(&[AnswerAndClose(200), Answer(200), Answer(200)], then, Ok(()), None);
    let kept = async |client: &Client| {
        client.get::<Value>("/x").await?;
        client.get::<Value>("/x").await.map(drop)
    };
    check(&[Answer(200), Answer(200)], kept, Ok(()), &[0, 0][..]);
    check(&[Answer(200), Break, Answer(200)], kept, Ok(()), &[0, 0, 1][..]);
}

#[test]
fn a_file_is_sent_again_from_its_beginning_and_one_that_came_is_no_conflict() {
    use Step::{Answer, Break};
    let put = async |client: &Client| {
        let mut file = tempfile::tempfile()?;
        file.write_all(&vec![b'x'; 300_000])?;
        client.put("/x", file).await
    };
    check(&[Break, Answer(204)], put, Ok(()), &[0, 1][..]);
    check(&[Break, Answer(409)], put, Ok(()), &[0, 1][..]);
    check(&[Answer(409)], put, Err("409"), &[0][..]);
}
