//! Pace, throttling, probes and queues of the limiter.

use tokio::time::advance;

use super::*;

fn limiter(per_second: u32) -> Limiter {
    Limiter::new(NonZeroU32::new(per_second).unwrap())
}

fn key(account: &str) -> LimitKey {
    let scope = Scope { account: account.into(), region_id: "eu-central-1".into() };
    LimitKey { scope, action: ApiCall::DescribeInstances }
}

fn granted(limiter: &Limiter, account: &str) -> usize {
    permits(limiter, account).len()
}

fn permits(limiter: &Limiter, account: &str) -> Vec<RatePermit> {
    (0..100).map_while(|_| limiter.try_acquire(&key(account), "one").ok()).collect()
}

#[tokio::test(start_paused = true)]
async fn a_second_s_worth_at_once_and_then_an_even_pace() {
    let limiter = limiter(5);
    assert_eq!(granted(&limiter, "a"), 5);
    let again = limiter.try_acquire(&key("a"), "one").unwrap_err();
    assert_eq!(again - now(), Duration::from_millis(200));
    advance(Duration::from_millis(400)).await;
    assert_eq!(granted(&limiter, "a"), 2);
    advance(Duration::from_hours(1)).await;
    assert_eq!(granted(&limiter, "a"), 5, "idle time is not saved up");
}

#[tokio::test(start_paused = true)]
async fn accounts_do_not_share_and_have_rates_of_their_own() {
    let limiter = limiter(1);
    limiter.set_rate("b", NonZeroU32::new(10).unwrap());
    assert_eq!((granted(&limiter, "a"), granted(&limiter, "b")), (1, 10));
}

#[tokio::test(start_paused = true)]
async fn after_a_throttling_one_probe_goes_out_per_window() {
    let limiter = limiter(5);
    let sent = permits(&limiter, "a");
    assert_eq!(sent.len(), 5);
    limiter.throttled(&key("a"), &sent[0], None, None);
    assert_eq!(limiter.try_acquire(&key("a"), "one"), Err(now() + WINDOW));
    assert_eq!(limiter.throttled_until(&key("a")), Some(now() + WINDOW));
    advance(WINDOW).await;
    assert_eq!(limiter.throttled_until(&key("a")), None);
    let sent = permits(&limiter, "a");
    assert_eq!(sent.len(), 1);
    limiter.throttled(&key("a"), &sent[0], Some(Duration::from_millis(10)), None);
    assert_eq!(limiter.try_acquire(&key("a"), "one"), Err(now() + WINDOW), "its probe failed: a window at least");
    advance(WINDOW).await;
    let probe = permits(&limiter, "a");
    assert_eq!(probe.len(), 1);
    limiter.succeeded(&key("a"), &probe[0]);
    advance(WINDOW * 10).await;
    assert_eq!(granted(&limiter, "a"), 5);
}

#[tokio::test(start_paused = true)]
async fn the_pause_ends_with_the_minute_in_which_ecs_counts() {
    let limiter = limiter(5);
    let sent = permits(&limiter, "a");
    assert_eq!(sent.len(), 5);
    limiter.throttled(&key("a"), &sent[0], None, Some("2026-11-30T05:21:48Z".parse().unwrap()));
    assert_eq!(limiter.throttled_until(&key("a")), Some(now() + Duration::from_secs(12)));
    advance(Duration::from_secs(12)).await;
    let sent = permits(&limiter, "a");
    assert_eq!(sent.len(), 1);
    limiter.throttled(&key("a"), &sent[0], Some(Duration::from_secs(1)), Some("2026-11-30T05:22:00Z".parse().unwrap()));
    assert_eq!(limiter.throttled_until(&key("a")), Some(now() + WINDOW), "its probe was throttled: the next minute");
}

#[tokio::test(start_paused = true)]
async fn after_a_throttling_the_pace_is_halved_and_grows_again() {
    let limiter = limiter(10);
    let mut sent = permits(&limiter, "a");
    assert_eq!(sent.len(), 10);
    let late = sent.remove(9);
    // The second of two that were under way together halves nothing more.
    limiter.throttled(&key("a"), &sent[0], None, None);
    limiter.throttled(&key("a"), &sent[1], None, None);
    advance(WINDOW).await;
    let probe = permits(&limiter, "a");
    assert_eq!(probe.len(), 1);
    let told = limiter.try_acquire(&key("a"), "late").map_err(|at| at - now());
    assert!(told.as_ref().is_err_and(|wait| *wait < PROBE_TAKES * 2), "the probe is soon back: {told:?}");
    // One from before the pause is not the probe's answer, whatever it is.
    limiter.throttled(&key("a"), &sent[2], None, None);
    limiter.succeeded(&key("a"), &sent[3]);
    assert_eq!(granted(&limiter, "a"), 0);
    limiter.succeeded(&key("a"), &probe[0]);
    let mut sent = 0;
    for _ in 0..100 {
        advance(Duration::from_millis(100)).await;
        sent += granted(&limiter, "a");
    }
    assert!((40..=65).contains(&sent), "{sent} in ten seconds, of 100 at full pace");
    // An answer so late says nothing of now.
    limiter.throttled(&key("a"), &late, None, None);
    assert_eq!(limiter.throttled_until(&key("a")), None);
    advance(WINDOW).await;
    assert_eq!(granted(&limiter, "a"), 1, "no burst");
    advance(WINDOW * 4).await;
    assert_eq!(granted(&limiter, "a"), 10, "the whole pace again");
}

#[tokio::test(start_paused = true)]
async fn what_the_answer_says_is_the_least_time_to_wait() {
    let limiter = limiter(5);
    let sent = permits(&limiter, "a");
    assert_eq!(sent.len(), 5);
    limiter.throttled(&key("a"), &sent[0], Some(Duration::from_secs(12)), None);
    limiter.throttled(&key("a"), &sent[1], Some(Duration::from_secs(3)), None);
    assert_eq!(limiter.try_acquire(&key("a"), "one"), Err(now() + Duration::from_secs(12)));
}

#[tokio::test(start_paused = true)]
async fn a_success_from_before_the_throttling_does_not_end_it() {
    let limiter = limiter(5);
    let sent = permits(&limiter, "a");
    assert_eq!(sent.len(), 5);
    limiter.throttled(&key("a"), &sent[0], None, None);
    limiter.succeeded(&key("a"), &sent[1]);
    advance(WINDOW / 2).await;
    assert_eq!(granted(&limiter, "a"), 0);
}

#[tokio::test(start_paused = true)]
async fn a_permit_from_before_a_throttling_never_counts_again() {
    let limiter = limiter(5);
    let sent = permits(&limiter, "a");
    assert!(limiter.still_counts(&key("a"), &sent[1]));
    advance(Duration::from_millis(100)).await;
    limiter.throttled(&key("a"), &sent[0], None, None);
    advance(WINDOW).await;
    let probe = permits(&limiter, "a");
    limiter.succeeded(&key("a"), &probe[0]);
    assert!(!limiter.still_counts(&key("a"), &sent[1]));
    assert!(limiter.still_counts(&key("a"), &probe[0]));
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_never_reports_back_costs_one_window() {
    let limiter = limiter(5);
    let sent = permits(&limiter, "a");
    assert_eq!(sent.len(), 5);
    limiter.throttled(&key("a"), &sent[0], None, None);
    advance(WINDOW).await;
    assert_eq!(granted(&limiter, "a"), 1);
    advance(WINDOW).await;
    assert_eq!(granted(&limiter, "a"), 1);
}

#[tokio::test(start_paused = true)]
async fn each_who_waits_has_a_moment_of_its_own_and_keeps_it() {
    let limiter = limiter(5);
    assert_eq!(granted(&limiter, "a"), 5);
    let told = |who: &str| limiter.try_acquire(&key("a"), who).map_err(|at| at - now());
    let millis = |n| Err(Duration::from_millis(n));
    assert_eq!([told("one"), told("two"), told("three")], [millis(200), millis(400), millis(600)]);
    assert_eq!([told("three"), told("one")], [millis(600), millis(200)], "whoever asks again loses nothing");
    advance(Duration::from_millis(200)).await;
    assert_eq!(told("four"), millis(600), "nobody goes in front of those who wait");
    assert!(told("one").is_ok());
    advance(Duration::from_millis(200)).await;
    assert!(told("two").is_ok());
}

#[tokio::test(start_paused = true)]
async fn abandoned_waiters_hold_no_longer_than_a_queue() {
    let limiter = limiter(1);
    assert_eq!(granted(&limiter, "a"), 1);
    for who in 0..1_000 {
        let at = limiter.try_acquire(&key("a"), &who.to_string()).unwrap_err();
        assert!(at - now() <= QUEUE_MAX * 2 + Duration::from_secs(1), "{who}");
    }
    assert!(limiter.lock().buckets.values().all(|bucket| bucket.places.len() <= 31));
    advance(QUEUE_MAX + Duration::from_secs(1)).await;
    assert!(limiter.try_acquire(&key("a"), "another").is_ok());
}
