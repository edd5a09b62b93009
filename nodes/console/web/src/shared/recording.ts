import type { RecordingState, RecordingSummary } from "./types";

/** What a recording came to, of a session or of one node's turn; nothing until it is sealed. */
export const summaryOf = ({ recording }: { recording: RecordingState }): RecordingSummary | undefined =>
  recording.state === "sealed" ? recording.summary : undefined;
