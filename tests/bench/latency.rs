//! B8: from the moment at which an object is sent to the first call to ECS, in a controller that is warm and has nothing else to do.

use std::time::{Duration, Instant};

use crate::Options;
use crate::api::{self, Api};
use crate::common::{Instance, REGION, World};
use crate::report::Report;
use crate::world::{self, Pace};

const SAMPLES: usize = 20;
/// The first one is not counted: it opens connections.
const WARM: usize = 2;

/// B8.
pub fn apply_to_first_call(_: &Options) -> Vec<Report> {
    let ids: Vec<String> = (0..SAMPLES + WARM).map(|number| world::id(number, 0)).collect();
    let instances = ids.iter().map(|id| Instance::running(id, REGION).rebooting(0.1, 0.3)).collect();
    let world = World::start(world::setup(instances, Pace::TUNED));
    world::prepare(&world, Pace::TUNED, false);
    let api = Api::new(&world);
    let (mut posts, mut describes, mut changes, mut ends) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for (number, id) in ids.iter().enumerate() {
        let reset = world::reset(&format!("web-{number}"), std::slice::from_ref(id), 1);
        let (began, at) = (Instant::now(), world.ecs().now());
        api.create(&api::resets(), &reset);
        let posted = began.elapsed().as_secs_f64() * 1_000.0;
        let done = world::wait_until_done(&world, number + 1, number + 1);
        if number < WARM {
            continue;
        }
        let first = |action: &str| {
            let at = world.journal(|it| it.calls(action, id).next().unwrap().at.duration_since(at));
            at.as_secs_f64() * 1_000.0
        };
        posts.push(posted);
        describes.push(first("DescribeInstances"));
        changes.push(first("ModifyInstanceAttribute"));
        ends.push(done.duration_since(began).as_secs_f64() * 1_000.0);
        // Whatever the last one left to write.
        std::thread::sleep(Duration::from_millis(300));
    }
    let (post, describe, change, end) = (
        world::percentiles(posts),
        world::percentiles(describes),
        world::percentiles(changes),
        world::percentiles(ends),
    );
    let mut report = Report::new("B8", SAMPLES);
    report.here("apply to the first call to ECS, p50", describe.0, "ms").goal(14.0);
    report.here("apply to the first call to ECS, p95", describe.1, "ms");
    report.here("apply to the first changing call, p50", change.0, "ms");
    report.here("apply to the first changing call, p95", change.1, "ms");
    report.here("apply to in effect, restart of 0.4 s, p50", end.0, "ms");
    report.here("the apply itself, p50", post.0, "ms");
    report.ratio("first call by the apply itself", describe.0 / post.0);
    report.ratio("first changing call by the apply itself", change.0 / post.0);
    vec![report]
}
