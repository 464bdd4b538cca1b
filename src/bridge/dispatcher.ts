import { createHmac } from 'node:crypto';
import type { DomainEvent, Recorded, RecordedOf } from '../domain/events.ts';
import type { Aggregates, Continuation } from '../commands/handle.ts';
import type { Reactor } from '../commands/policies/reactor.ts';
import type { CommandContext } from '../commands/port.ts';
import { deviceAggregate, userAggregate } from '../domain/registry.ts';
import type { DeviceCommandOf } from '../domain/device/commands.ts';
import type { DeviceSettings, UnlockCause } from '../domain/device/events.ts';
import type { DeviceState } from '../domain/device/state.ts';
import { currentUnlock } from '../domain/device/unlock.ts';
import type { UserState } from '../domain/user/state.ts';
import { boundedCache } from '../platform/bounded-cache.ts';
import { instant, type Clock } from '../platform/clock.ts';
import { derivedCommandId, newId } from '../platform/ids.ts';
import type { Logger } from '../platform/logger.ts';
import type { Metrics } from '../platform/metrics.ts';
import type { Relay, RelayMessage } from '../platform/relay/port.ts';
import type { Keyring } from './keyring.ts';
import type { LiveDevice, LiveDevices } from './live-devices.ts';
import { isReachable } from './presence.ts';
import type { DeviceProvisioner } from './provisioning.ts';
import {
  ackCommand,
  commandQos,
  commandValidityMs,
  configCommand,
  newNonce,
  reportCommand,
  rotateKeyCommand,
  sealSecret,
  timeCommand,
  unlockCommand,
  type CommandBody,
  type CommandInput,
  type CommandSource,
} from './protocol/commands.ts';
import type { DeviceKeys } from './protocol/keys.ts';
import { signCommand } from './protocol/signature.ts';
import { encodeCommand, lastMoment } from './relay-messages.ts';
import { topicFor, topicOwner } from './topics.ts';
import type { UnlockTraces } from './unlock-traces.ts';

/** Old firmware has no memory: what it is sent is worth nothing after this. */
const LEVEL0_VALIDITY_MS = 10_000;
const REMEMBERED = 10_000;
const BOXES_REMEMBERED = 100_000;
/** A box is ahead of the server by the way of an answer (5 s at most) and its drift. */
const HONESTLY_AHEAD_MS = 10_000;
const BACK_TOLD_AFTER_MS = 15 * 60_000;
/** Requests that the reactor dispatches at the same time. */
const SIDE_BY_SIDE = 32;

interface Claimable {
  readonly device: LiveDevice;
  readonly keys: DeviceKeys;
}

export interface Dispatcher {
  /** The claim in the request's own append, where this process is the one that will send: one append less to wait for. */
  readonly continuation: Continuation;
  /** Claims and sends what this process has just appended, without waiting for the subscription. */
  hint(events: readonly Recorded<DomainEvent>[]): void;
  /** The guarantee behind the hint: sees every request, sends what no one has claimed, cancels what is from before its start. */
  readonly reactor: Reactor;
  sendTime(device: LiveDevice, challenge: string): Promise<void>;
  sendAck(device: LiveDevice, acked: readonly number[]): Promise<void>;
  sendConfig(device: LiveDevice, desired: DeviceSettings, configVersion: number): Promise<void>;
  /** The key of that version, sealed with the one that the box has. Nothing where it has it already. */
  sendRotation(device: LiveDevice, keyVersion: number): Promise<void>;
  askForStatus(deviceId: string): Promise<void>;
  /** Resolves when nothing is being dispatched. */
  drained(): Promise<void>;
}

/**
 * Makes signed bytes of what was decided. It alone has the store and the vault: bridge and broker carry what it signed,
 * and can delay or drop it, but not make it.
 */
export function createDispatcher(deps: {
  readonly bus: Aggregates;
  readonly live: LiveDevices;
  readonly keyring: Keyring;
  readonly relay: Relay;
  readonly provisioner: Pick<DeviceProvisioner, 'nextKey'>;
  /** False: boxes of old firmware are read only. Default true. */
  readonly allowLevel0?: boolean;
  readonly traces?: UnlockTraces;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly metrics: Metrics;
}): Dispatcher {
  const { bus, live, keyring, relay, traces, provisioner, allowLevel0 = true, clock, metrics } = deps;
  const logger = deps.logger.child({ component: 'dispatcher' });
  const startedAt = instant(clock.now());
  /** In the ids of this process's claims: another's append must never be taken for a repeat of ours. */
  const claimant = newId();
  const underWay = new Map<string, Promise<void>>();
  const done = boundedCache<string, true>({ max: REMEMBERED });
  /** What a claim in the request's own append was made from: what is sent is made of the same, without another look. */
  const claimedWith = boundedCache<string, Claimable>({ max: REMEMBERED });
  /** What was signed and is not yet with the relay, as far as is known. */
  const signed = boundedCache<string, RelayMessage>({ max: REMEMBERED });
  /** The newest `issued_at` of anything sent to a box, in milliseconds; what it forgets, the box's own reports say. */
  const lastIssued = boundedCache<string, number>({ max: BOXES_REMEMBERED });
  /** Monotonic: since when this server's clock is behind what a box was told. */
  const backSince = boundedCache<string, number>({ max: BOXES_REMEMBERED });
  const dispatched = metrics.counter('loqey_unlock_dispatches_total', 'Requests to open, by what the dispatcher made of them', ['outcome']);
  const latency = metrics.histogram('loqey_unlock_dispatch_seconds', 'From the accepted request to its bytes in the relay');

  /** Once per unlock in this process; the claim in the box's stream makes it once in all. */
  function dispatch(event: RecordedOf<'UnlockRequested'>, claimed?: RecordedOf<'UnlockDispatched'>): Promise<void> {
    const { unlockId } = event.data;
    if (done.has(unlockId)) return Promise.resolve();
    const running = underWay.get(unlockId);
    if (running !== undefined) return running;
    const work = claimAndSend(event, claimed)
      .then(() => {
        done.set(unlockId, true);
      })
      .finally(() => underWay.delete(unlockId));
    underWay.set(unlockId, work);
    return work;
  }

  const claimContext = (event: Pick<RecordedOf<'UnlockRequested'>, 'eventId' | 'metadata'>): CommandContext =>
    contextOf(event, derivedCommandId('dispatch', event.eventId, claimant));

  function claimOf(device: LiveDevice, keys: DeviceKeys, unlockId: string): DeviceCommandOf<'DispatchUnlock'> {
    const { deviceId, level, journalId, reportSeq, lastSeq } = device;
    return {
      type: 'DispatchUnlock',
      data: {
        deviceId,
        unlockId,
        level,
        ...(level === 0 ? {} : { keyVersion: keys.version }),
        ...(journalId === undefined ? {} : { journalId }),
        ...(reportSeq === undefined ? {} : { reportSeq }),
        ...(lastSeq === undefined ? {} : { reportedSeq: lastSeq }),
      },
    };
  }

  const mayReach = (device: LiveDevice): boolean => isReachable(device, clock.now()) && (device.level === 1 || allowLevel0);

  /** An administrator stands on no assignment that the box knows of: what became of the role since is in another stream. */
  async function mayStill({ kind, id }: UnlockCause): Promise<boolean> {
    if (kind !== 'admin') return true;
    const { state } = await bus.load<UserState>(userAggregate, id);
    return state.kind === 'unregistered' || (state.admin !== null && !state.suspended);
  }

  async function claimAndSend(event: RecordedOf<'UnlockRequested'>, claimed: RecordedOf<'UnlockDispatched'> | undefined): Promise<void> {
    const since = clock.monotonic();
    const deviceId = event.stream.slice('device-'.length);
    const { unlockId } = event.data;
    const known = claimedWith.get(unlockId);
    if (claimed !== undefined && known !== undefined) return send(event, claimed, known.device, known.keys, since);
    const [device, keys] = await Promise.all([live.byId(deviceId), keyring.of(deviceId)]);
    const context = claimContext(event);
    if (claimed !== undefined && device !== undefined && keys !== undefined) return send(event, claimed, device, keys.current, since);
    if (device === undefined || keys === undefined || !isReachable(device, clock.now())) return cancel(deviceId, unlockId, 'device_unreachable', context);
    if ((device.level === 0 && !allowLevel0) || !(await mayStill(event.data.cause))) return cancel(deviceId, unlockId, 'undeliverable', context);
    const outcome = await bus.execute(claimOf(device, keys.current, unlockId), context);
    // Repeated: this process's own claim, whose append or bytes got stuck half way. Nobody else's has this id.
    const events = outcome.kind === 'refused' ? [] : outcome.repeated ? await bus.recall(event.stream, context.commandId) : outcome.events;
    const claim = events.find((each) => each.type === 'UnlockDispatched') as RecordedOf<'UnlockDispatched'> | undefined;
    if (claim === undefined) {
      // Ended instead, or another process has claimed it and sends the bytes.
      dispatched.inc({ outcome: 'not_sent' });
      return;
    }
    await send(event, claim, device, keys.current, since);
  }

  async function send(event: RecordedOf<'UnlockRequested'>, claim: RecordedOf<'UnlockDispatched'>, device: LiveDevice, keys: DeviceKeys, since: number): Promise<void> {
    const { unlockId } = event.data;
    const known = signed.get(unlockId);
    const tooLate = known !== undefined && (device.level === 0 || clock.now() >= lastMoment({ action: 'unlock', expiresAt: Date.parse(event.data.expiresAt) }));
    if (tooLate) {
      dispatched.inc({ outcome: 'not_sent' });
      return;
    }
    issued(device.deviceId, Date.parse(event.data.issuedAt));
    const { traceparent } = claim.metadata;
    traces?.remember(unlockId, traceparent);
    const message = known ?? messageOf(device, keys, unlockBody(event, claim, device, keys), traceparent);
    signed.set(unlockId, message);
    await relay.publish('device-commands', [message]);
    signed.delete(unlockId);
    claimedWith.delete(unlockId);
    dispatched.inc({ outcome: 'sent' });
    latency.observe((clock.monotonic() - since) / 1_000);
  }

  /** It certainly has not opened: there is no claim. */
  async function cancel(deviceId: string, unlockId: string, reason: 'device_unreachable' | 'undeliverable', context: CommandContext): Promise<void> {
    await bus.execute({ type: 'CancelUnlock', data: { deviceId, unlockId, reason } }, context);
    dispatched.inc({ outcome: reason });
  }

  function unlockBody(request: RecordedOf<'UnlockRequested'>, claim: RecordedOf<'UnlockDispatched'>, device: LiveDevice, keys: DeviceKeys): CommandBody {
    const { unlockId, cause, issuedAt } = request.data;
    const expiresAt = device.level === 1 ? request.data.expiresAt : earlier(request.data.expiresAt, instant(clock.now() + LEVEL0_VALIDITY_MS));
    return unlockCommand({
      commandId: unlockId,
      deviceId: nameOf(device),
      source: sourceOf(cause.kind),
      ...(cause.kind === 'owner' || cause.kind === 'admin' ? { userId: cause.id } : {}),
      ...(cause.kind === 'link' ? { linkId: cause.id } : {}),
      issuedAt,
      expiresAt,
      keyVersion: keys.version,
      // Not random but unpredictable without the key, so that the bytes of one command can only ever be these.
      nonce: createHmac('sha256', keys.cmd).update(`loqey-nonce-v1\n${unlockId}\n`).digest('hex').slice(0, 32),
      seq: claim.data.seq ?? Date.parse(issuedAt),
    });
  }

  function messageOf(device: LiveDevice, keys: DeviceKeys, body: CommandBody, traceparent?: string): RelayMessage {
    const { action } = body;
    return encodeCommand({
      deviceId: device.deviceId,
      commandId: body['command_id'] as string,
      action,
      via: device.via ?? 'mqtt',
      topic: topicFor(topicOwner(device), action),
      payload: signCommand(body, keys.cmd),
      qos: device.level === 1 ? commandQos[action] : 0,
      expiresAt: Date.parse(body['expires_at'] as string),
      level: device.level,
      ...(traceparent === undefined ? {} : { traceparent }),
    });
  }

  /**
   * What the system says of itself to a box: no one asked for it and the log does not need to know. Old firmware knows
   * nothing of it but its settings, which it is told once and never confirms.
   */
  async function sendSystem(device: LiveDevice, make: (input: Omit<CommandInput, 'nonce'>, keys: DeviceKeys) => CommandBody, validityMs: number, old: 'also' | 'never' = 'never'): Promise<void> {
    const keys = await keyring.of(device.deviceId);
    if (keys === undefined || (device.level === 0 && (old === 'never' || !allowLevel0))) return;
    const now = timeFor(device);
    const input = {
      commandId: newId(),
      deviceId: nameOf(device),
      source: 'system',
      issuedAt: instant(now),
      expiresAt: instant(now + (device.level === 1 ? validityMs : LEVEL0_VALIDITY_MS)),
      keyVersion: keys.current.version,
    } as const;
    const body = make(input, keys.current);
    await relay.publish('device-commands', [messageOf(device, keys.current, body)]);
  }

  /**
   * Not before an instant that this box was sent or has signed itself: a server clock that steps back must not make a late
   * command good again, nor a report of the past look like one of now (docs/decisions/0053). For a quarter of an hour: then
   * nothing of before is on its way, and a clock that was set right must be told. In milliseconds.
   */
  function timeFor({ deviceId, trustedTime }: LiveDevice): number {
    const now = clock.now();
    const heard = trustedTime === undefined ? 0 : Date.parse(trustedTime);
    const newest = Math.max(heard - HONESTLY_AHEAD_MS, lastIssued.get(deviceId) ?? 0);
    if (newest <= now) {
      backSince.delete(deviceId);
      issued(deviceId, now);
      return now;
    }
    const since = backSince.get(deviceId) ?? clock.monotonic();
    backSince.set(deviceId, since);
    if (clock.monotonic() - since < BACK_TOLD_AFTER_MS) return Math.max(newest, heard);
    lastIssued.set(deviceId, now);
    return now;
  }

  function issued(deviceId: string, at: number): void {
    lastIssued.set(deviceId, Math.max(at, lastIssued.get(deviceId) ?? 0));
  }

  const withNonce = (input: Omit<CommandInput, 'nonce'>): CommandInput => ({ ...input, nonce: newNonce() });

  const dispatcher: Dispatcher = {
    async continuation(decided, stream) {
      const request = decided.find((each) => each.type === 'UnlockRequested');
      if (request?.type !== 'UnlockRequested') return undefined;
      const deviceId = stream.slice('device-'.length);
      const [device, keys] = await Promise.all([live.byIdLately(deviceId), keyring.of(deviceId)]);
      // What cannot be claimed now is left to the dispatch after the append, which says why.
      if (device === undefined || keys === undefined || !mayReach(device) || !(await mayStill(request.data.cause))) return undefined;
      const { unlockId } = request.data;
      claimedWith.set(unlockId, { device, keys: keys.current });
      return { command: claimOf(device, keys.current, unlockId), context: claimContext(request) };
    },

    hint(events) {
      for (const event of events) {
        if (event.type !== 'UnlockRequested') continue;
        const { unlockId } = event.data;
        const claimed = events.find((each): each is RecordedOf<'UnlockDispatched'> => each.type === 'UnlockDispatched' && each.data.unlockId === unlockId);
        dispatch(event, claimed).catch((error: unknown) => {
          // The reactor sees the same event and tries again.
          logger.warn({ err: error, stream: event.stream }, 'An unlock could not be dispatched at once');
        });
      }
    },

    reactor: {
      name: 'dispatcher',
      eventTypes: ['UnlockRequested', 'DeviceSettingsChanged', 'DeviceKeyRotationStarted', 'UnlockOutcomeUnknown'],
      startFrom: 'now',
      sideBySide: SIDE_BY_SIDE,
      async react(event) {
        const deviceId = event.stream.slice('device-'.length);
        switch (event.type) {
          case 'UnlockRequested':
            // From before this process: no recovered job ever starts an opening.
            if (event.metadata.occurredAt < startedAt) await cancelOld(deviceId, event);
            else await dispatch(event);
            return;
          case 'DeviceSettingsChanged': {
            const device = await live.byId(deviceId);
            const { desired, configVersion } = event.data;
            if (device !== undefined && isReachable(device, clock.now())) await atBest(deviceId, dispatcher.sendConfig(device, desired, configVersion));
            return;
          }
          case 'DeviceKeyRotationStarted':
            // An administrator waits for it. What follows from a claim comes with the box's next quiet report: the minute after
            // a claim is when its owner tries the box, and a box that changes its key is gone for a moment.
            if (event.metadata.actor.kind === 'admin') await atBest(deviceId, rotateNow(deviceId, event.data.keyVersion));
            return;
          case 'UnlockOutcomeUnknown':
            await atBest(deviceId, dispatcher.askForStatus(deviceId));
            return;
          default:
            return;
        }
      },
    },

    sendTime: (device, challenge) => sendSystem(device, (input) => timeCommand({ ...input, challenge }), commandValidityMs.time),
    sendAck: (device, acked) => sendSystem(device, (input) => ackCommand({ ...withNonce(input), acked }), commandValidityMs.ack),
    sendConfig: (device, desired, configVersion) =>
      sendSystem(device, (input) => configCommand({ ...withNonce(input), configVersion, desired }), commandValidityMs.config, 'also'),
    async sendRotation(device, keyVersion) {
      const key = await provisioner.nextKey(device.deviceId, keyVersion);
      if (key === undefined) return;
      await sendSystem(
        device,
        (input, { enc }) => {
          const secret = sealSecret(JSON.stringify({ device_key: key.toString('hex') }), enc, input.deviceId, input.commandId);
          return rotateKeyCommand({ ...withNonce(input), newKeyVersion: keyVersion, secret });
        },
        commandValidityMs.rotate_key,
      );
    },
    async askForStatus(deviceId) {
      const device = await live.byId(deviceId);
      if (device === undefined || !isReachable(device, clock.now())) return;
      await sendSystem(device, (input) => reportCommand(withNonce(input)), commandValidityMs.report);
    },
    async drained() {
      await Promise.allSettled(underWay.values());
    },
  };
  return dispatcher;

  /** The box's next report brings it up again: no reason to hold up the requests behind. */
  async function atBest(deviceId: string, sending: Promise<void>): Promise<void> {
    await sending.catch((error: unknown) => logger.warn({ err: error, deviceId }, 'A box could not be told'));
  }

  /** Not while it opens: the answer would have to wait for the end of that anyway. */
  async function rotateNow(deviceId: string, keyVersion: number): Promise<void> {
    const [device, { state }] = await Promise.all([live.byId(deviceId), bus.load<DeviceState>(deviceAggregate, deviceId)]);
    if (device === undefined || !isReachable(device, clock.now()) || currentUnlock(state) !== undefined) return;
    await dispatcher.sendRotation(device, keyVersion);
  }

  async function cancelOld(deviceId: string, event: RecordedOf<'UnlockRequested'>): Promise<void> {
    const { state } = await bus.load<DeviceState>(deviceAggregate, deviceId);
    const current = state.kind === 'registered' ? state.unlocks.current : null;
    if (current?.unlockId !== event.data.unlockId || current.phase !== 'requested') return;
    await cancel(deviceId, current.unlockId, 'undeliverable', contextOf(event, derivedCommandId('cancel', event.eventId)));
  }
}

function contextOf(event: Pick<Recorded<DomainEvent>, 'eventId' | 'metadata'>, commandId: string): CommandContext {
  return {
    commandId,
    correlationId: event.metadata.correlationId,
    causationId: event.eventId,
    actor: { kind: 'system', id: 'dispatcher' },
    source: 'system',
    lane: 'urgent',
    ...(event.metadata.traceparent === undefined ? {} : { traceparent: event.metadata.traceparent }),
  };
}

function sourceOf(cause: 'link' | 'owner' | 'admin' | 'schedule'): CommandSource {
  switch (cause) {
    case 'link':
      return 'delivery_link';
    case 'owner':
      return 'mobile_app';
    case 'admin':
      return 'web_dashboard';
    case 'schedule':
      return 'scheduled_task';
  }
}

/** What the firmware knows itself by: its id, or in the old families, as long as they are that, the key of their topics. */
function nameOf({ level, deviceId, topicKey }: LiveDevice): string {
  return level === 1 ? deviceId : topicKey;
}

function earlier(a: string, b: string): string {
  return a < b ? a : b;
}
