use taghouse_feed::Change;
use taghouse_rules::SinkDefinition;

/// Whether the sink wants the change. Deletions of users concern everybody.
pub fn includes(sink: &SinkDefinition, change: &Change) -> bool {
    if sink.tags.is_empty() && sink.crowds.is_empty() {
        return true;
    }
    match change {
        Change::Tag { tag, .. } | Change::TagPublished { tag } => sink.tags.contains(tag.as_str()),
        Change::Entered { crowd, .. }
        | Change::Exited { crowd, .. }
        | Change::CrowdPublished { crowd, .. } => sink.crowds.contains(crowd.as_str()),
        Change::UserDeleted { .. } => true,
    }
}
