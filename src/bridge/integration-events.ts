import type { Reactor } from '../commands/policies/reactor.ts';
import type { DomainEvent, DomainEventType, Recorded } from '../domain/events.ts';
import type { Relay, RelayMessage } from '../platform/relay/port.ts';

/**
 * What other systems may build on: a small, versioned contract in CloudEvents 1.0 (JSON), ids only. Never the domain
 * events themselves, so that those can change shape. `id` is the event id: at least once, recognised by it.
 */
type PublicData = Readonly<Record<string, string | number | boolean>>;
type Translate = { readonly [T in DomainEventType]?: (event: Recorded<Extract<DomainEvent, { type: T }>>) => { readonly type: string; readonly data: PublicData } };

const translate: Translate = {
  DeviceRegistered: ({ data }) => ({ type: 'device.registered.v1', data: { serial_number: data.serialNumber } }),
  DeviceAssigned: ({ data }) => ({ type: 'device.assigned.v1', data: { user_id: data.userId, assignment_id: data.assignmentId } }),
  DeviceUnlinked: ({ data }) => ({ type: 'device.unlinked.v1', data: { user_id: data.userId, assignment_id: data.assignmentId } }),
  DeviceDecommissioned: () => ({ type: 'device.decommissioned.v1', data: {} }),
  DeviceWentOnline: () => ({ type: 'device.online.v1', data: {} }),
  DeviceWentOffline: () => ({ type: 'device.offline.v1', data: {} }),
  LockStateReported: ({ data }) => ({ type: 'device.lock_state.v1', data: { status: data.lockStatus } }),
  LinkCreated: ({ data }) => ({ type: 'link.created.v1', data: { link_id: data.linkId, expires_at: data.expiresAt, max_uses: data.maxUses } }),
  LinkRevoked: ({ data }) => ({ type: 'link.revoked.v1', data: { link_id: data.linkId } }),
  LinkExpired: ({ data }) => ({ type: 'link.expired.v1', data: { link_id: data.linkId } }),
  UnlockRequested: ({ data }) => ({ type: 'unlock.requested.v1', data: { unlock_id: data.unlockId, cause: data.cause.kind, expires_at: data.expiresAt } }),
  EmergencyUnlockUnexplained: ({ data }) => ({ type: 'unlock.emergency_unexplained.v1', data: { unlock_id: data.unlockId, admin_id: data.adminId } }),
  UnlockConfirmed: ({ data }) => ({ type: 'unlock.opened.v1', data: { unlock_id: data.unlockId, evidence: data.evidence } }),
  UnlockFailed: ({ data }) => ({ type: 'unlock.failed.v1', data: { unlock_id: data.unlockId, reason: data.reason } }),
  UnlockOutcomeUnknown: ({ data }) => ({ type: 'unlock.unknown.v1', data: { unlock_id: data.unlockId, reason: data.reason } }),
  UnlockSettled: ({ data }) => ({ type: 'unlock.settled.v1', data: { unlock_id: data.unlockId, outcome: data.outcome } }),
  UnlockCancelled: ({ data }) => ({ type: 'unlock.cancelled.v1', data: { unlock_id: data.unlockId, reason: data.reason } }),
  UnlockExpired: ({ data }) => ({ type: 'unlock.expired.v1', data: { unlock_id: data.unlockId } }),
  UnexplainedOpening: ({ data }) => ({ type: 'device.unexplained_opening.v1', data: { reported_cause: data.reportedCause } }),
};

/** Undefined for what is not part of the contract. */
export function integrationEvent(event: Recorded<DomainEvent>): RelayMessage | undefined {
  const make = translate[event.type] as ((each: Recorded<DomainEvent>) => { readonly type: string; readonly data: PublicData }) | undefined;
  if (make === undefined) return undefined;
  const { type, data } = make(event);
  const deviceId = event.stream.slice('device-'.length);
  const body = {
    specversion: '1.0',
    id: event.eventId,
    source: '/loqey',
    type: `com.loqey.${type}`,
    subject: deviceId,
    time: event.metadata.occurredAt,
    datacontenttype: 'application/json',
    correlationid: event.metadata.correlationId,
    data: { device_id: deviceId, ...data },
  };
  return { key: deviceId, value: Buffer.from(JSON.stringify(body)), headers: { event_id: event.eventId, content_type: 'application/cloudevents+json' } };
}

export function integrationReactor(relay: Relay): Reactor {
  return {
    name: 'integration-events',
    eventTypes: Object.keys(translate) as DomainEventType[],
    startFrom: 'now',
    async react(event) {
      const message = integrationEvent(event);
      if (message !== undefined) await relay.publish('loqey.events', [message]);
    },
  };
}
