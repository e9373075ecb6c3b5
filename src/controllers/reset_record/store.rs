//! The record step: every write of a record after its claim, and the proof that an attempt was stored before it is sent.

use crate::api::reset_record::{Attempt, Phase, ResetRecord, ResetRecordStatus};
use crate::cluster::ClusterError;
use crate::controllers::Context;
use crate::decide::ProtocolBounds;
use crate::decide::claim::step::Call;
use crate::decide::claim::transition::{NewAttempt, intend};

/// A call that is about to be made; the stage is in the type.
pub(super) struct Intent<S> {
    record: ResetRecord,
    call: Call,
    stage: S,
}

/// Not written yet.
pub(super) struct Proposed;

/// Written: the API server holds the attempt. Only this can be acted on.
pub(super) struct Stored {
    attempt: Attempt,
}

impl Intent<Proposed> {
    /// The record as it is to be before the call.
    pub(super) fn propose(mut record: ResetRecord, call: Call, attempt: NewAttempt, bounds: ProtocolBounds) -> Self {
        record.status = Some(intend(&record, call, attempt, bounds));
        Self { record, call, stage: Proposed }
    }

    /// Writes it. A conflict or an unanswered write ends the pass: the next one sees what the record says.
    pub(super) async fn store<T>(self, context: &Context<T>) -> Result<Intent<Stored>, ClusterError> {
        let Self { record, call, stage: Proposed } = self;
        Ok(Intent::as_stored(context.write_record(&record).await?, call))
    }
}

impl Intent<Stored> {
    /// The attempt that a record holds, that the API server holds: just written, or as the ledger knows it.
    pub(super) fn as_stored(record: ResetRecord, call: Call) -> Self {
        let attempt = record.progress().attempt.unwrap_or_else(|| Attempt {
            // A hand-edited record without an attempt: the sender refuses one that belongs to no process.
            id: String::new(),
            process: String::new(),
            number: 0,
            timestamp: record.spec.claim_time.clone(),
            found_unanswered_until: None,
        });
        Self { record, call, stage: Stored { attempt } }
    }

    /// Takes the intent apart: it is used up by being acted on.
    pub(super) fn spend(self) -> (ResetRecord, Call, Attempt) {
        let Self { record, call, stage: Stored { attempt } } = self;
        (record, call, attempt)
    }
}

/// Writes a record's progress, if there is any.
pub(super) async fn write<T>(
    context: &Context<T>,
    mut record: ResetRecord,
    status: ResetRecordStatus,
) -> Result<(), ClusterError> {
    if record.status.as_ref() == Some(&status) {
        return Ok(());
    }
    log(&record, &status);
    record.status = Some(status);
    context.write_record(&record).await?;
    Ok(())
}

/// One line for each change of phase.
fn log(record: &ResetRecord, status: &ResetRecordStatus) {
    if record.phase() == status.phase {
        return;
    }
    let (instance_id, claim, phase) = (&record.spec.instance_id, record.spec.claim, status.phase);
    let (reason, detail) = status.row.as_ref().map_or(("", ""), |row| (&row.reason, &row.message));
    if matches!(phase, Phase::Unknown | Phase::Failed) {
        tracing::warn!(instanceID = instance_id, claim, ?phase, reason, detail, "the claim has failed");
    } else {
        tracing::info!(instanceID = instance_id, claim, ?phase, reason, detail, "the claim has a new phase");
    }
}
