//! The points, and what the environment says is to happen at one of them.

use std::collections::HashMap;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rustix::process::{Signal, getpid, kill_process};

/// The point, with `kill ` or `stop ` in front.
const POINT: &str = "ECS_PASSWORD_RESET_FAILPOINT";
/// A file to which every point that is passed is appended.
const TRACE: &str = "ECS_PASSWORD_RESET_FAILPOINT_TRACE";
/// How long a request is given to leave this machine; whether it was answered by then is left to chance.
const LEAVES_WITHIN: Duration = Duration::from_millis(3);

static COUNTS: Mutex<Option<HashMap<String, u32>>> = Mutex::new(None);

/// Makes a request, and does what the environment says at its points.
pub async fn around<F: Future>(verb: &str, kind: &str, request: F) -> F::Output {
    let name = count(&format!("{verb} {kind}"));
    pass(&format!("{name}:before"));
    let mut request = std::pin::pin!(request);
    let sent = format!("{name}:sent");
    if is_armed(&sent) {
        let answered = tokio::time::timeout(LEAVES_WITHIN, &mut request).await;
        pass(&sent);
        if let Ok(answer) = answered {
            return answer;
        }
    }
    let answer = request.await;
    pass(&format!("{name}:answered"));
    answer
}

fn count(request: &str) -> String {
    let mut counts = COUNTS.lock().unwrap_or_else(PoisonError::into_inner);
    let count = counts.get_or_insert_default().entry(request.to_owned()).or_default();
    *count += 1;
    format!("{request}@{count}")
}

fn is_armed(point: &str) -> bool {
    std::env::var(POINT).is_ok_and(|armed| armed.split_once(' ').is_some_and(|(_, armed)| armed == point))
}

fn pass(point: &str) {
    if let Ok(trace) = std::env::var(TRACE)
        && let Ok(mut file) = OpenOptions::new().create(true).append(true).open(trace)
    {
        // In one piece: other passes write too.
        let _ = file.write_all(format!("{point}\n").as_bytes());
    }
    if is_armed(point) {
        let stops = std::env::var(POINT).is_ok_and(|armed| armed.starts_with("stop "));
        let signal = if stops { Signal::STOP } else { Signal::KILL };
        let _ = kill_process(getpid(), signal);
    }
}
