import { createCodec, type EventForm } from '../codec.ts';
import type { SystemEvent } from './events.ts';

const v1: EventForm<undefined, SystemEvent> = { version: 1 };

/** Nothing here is personal but the origin of a refusal. */
export const systemCodec = createCodec<undefined, SystemEvent>({
  LogStarted: v1,
  ProjectionEventSkipped: v1,
  ProjectionActionRequested: v1,
  KeysRewrapped: v1,
  JobRequested: v1,
  CommandRefused: v1,
  RefusalsSuppressed: v1,
  AuditHeadSigned: v1,
});
