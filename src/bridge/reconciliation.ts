import type { Aggregates } from '../commands/handle.ts';
import type { CommandContext } from '../commands/port.ts';
import type { DeviceSettings } from '../domain/device/events.ts';
import type { DeviceState, RegisteredDevice } from '../domain/device/state.ts';
import { deviceAggregate } from '../domain/registry.ts';
import { instant, type Clock } from '../platform/clock.ts';
import { derivedCommandId } from '../platform/ids.ts';
import type { Logger } from '../platform/logger.ts';
import type { Dispatcher } from './dispatcher.ts';
import type { LiveDevice } from './live-devices.ts';
import type { ReportEffects } from './report-effects.ts';

/** The settings are sent again to a box that still reports older ones, at most so often. */
const CONFIG_AGAIN_MS = 60_000;
/** A new key: the same at first, then less and less often, for firmware may not know how to take one. */
const ROTATION_AGAIN_MS = 60_000;
const ROTATION_AGAIN_AT_LEAST_MS = 3_600_000;

/**
 * What a box says of its journal, its settings and its key, held against what the log knows. The journal settles openings of
 * unknown outcome; settings and keys that the box lacks are sent again, as often as it takes.
 */
export interface Reconciliation {
  /** Each minute most boxes say that nothing changed: then what is at hand tells. */
  isWorthALook(effects: ReportEffects): boolean;
  compare(effects: ReportEffects, context: CommandContext): Promise<void>;
}

export interface ReconciliationDeps {
  readonly bus: Pick<Aggregates, 'execute' | 'load' | 'peek'>;
  readonly dispatcher: Pick<Dispatcher, 'sendConfig' | 'sendRotation'>;
  readonly clock: Clock;
  readonly logger: Logger;
}

export function createReconciliation({ bus, dispatcher, clock, logger }: ReconciliationDeps): Reconciliation {
  function isWorthALook(effects: ReportEffects): boolean {
    const { device, journal, routine, configVersion } = effects;
    if (journal === undefined && configVersion === undefined) return false;
    if (!routine) return true;
    const atHand = bus.peek<DeviceState>(deviceAggregate, device.deviceId);
    // Nothing at hand: a status is worth the look, a heartbeat comes again soon.
    return atHand === undefined ? journal !== undefined : differs(effects, atHand);
  }

  async function compare(effects: ReportEffects, context: CommandContext): Promise<void> {
    const { device, journal, configVersion } = effects;
    const { deviceId } = device;
    const { state } = await bus.load<DeviceState>(deviceAggregate, deviceId);
    if (!differs(effects, state)) return;
    if (journal !== undefined && state.unlocks.unknown.length > 0) {
      await bus.execute({ type: 'SettleUnlocks', data: { deviceId, status: journal } }, { ...context, commandId: derivedCommandId('settle', context.commandId) });
    }
    await catchUp(effects, state, context);
    rotateIfWanted(effects, state);
    if (configVersion === undefined) return;
    if (configVersion > state.settings.version) {
      // A restored server: ours jumps beyond what the box has, and is sent.
      const jump = { ...context, commandId: derivedCommandId('settings', context.commandId) };
      const outcome = await bus.execute({ type: 'ReportSettingsVersion', data: { deviceId, configVersion } }, jump);
      const changed = outcome.kind === 'accepted' ? outcome.events.find((event) => event.type === 'DeviceSettingsChanged') : undefined;
      if (changed !== undefined) sendConfig(device, changed.data.desired, changed.data.configVersion);
    } else if ((configVersion < state.settings.version || lacksWord(state)) && dueForConfig(device)) {
      // Older ones; or the right ones, and what it made of them was never told.
      sendConfig(device, state.settings.desired, state.settings.version);
    }
  }

  /** A log that was put back to an older backup takes the box for less than it is; its rotation would never end. */
  async function catchUp({ device: { deviceId }, quietKeyVersion }: ReportEffects, { keys, protocol }: RegisteredDevice, context: CommandContext): Promise<void> {
    if (quietKeyVersion === undefined) return;
    const as = (purpose: string): CommandContext => ({ ...context, commandId: derivedCommandId(purpose, context.commandId) });
    if (quietKeyVersion > keys.version) await bus.execute({ type: 'CompleteKeyRotation', data: { deviceId, keyVersion: quietKeyVersion, by: 'device' } }, as('keys'));
    // Last: with it a rotation that is due begins, from the version that the box has.
    if (protocol.level === 0) await bus.execute({ type: 'PinProtocol', data: { deviceId } }, as('pin'));
  }

  /** A box that is to have another key is given it again and again until it signs with it, not in the middle of an opening. */
  function rotateIfWanted({ device, quietKeyVersion, routine }: ReportEffects, { keys, unlocks, decommissioned }: RegisteredDevice): void {
    const to = keys.rotatingTo;
    if (to === null || quietKeyVersion === undefined || quietKeyVersion >= to || unlocks.current !== null || decommissioned) return;
    const before = device.rotation?.to === to ? device.rotation : undefined;
    if (before === undefined) {
      // Not the first time with a hello: a box that has just come up, or changed hands, is about to be tried.
      if (!routine) return;
    } else {
      // A hello is a new beginning: what was in the way before may be gone.
      const wait = routine ? Math.min(ROTATION_AGAIN_MS * 2 ** (before.sends - 1), ROTATION_AGAIN_AT_LEAST_MS) : ROTATION_AGAIN_MS;
      if (clock.now() - Date.parse(before.sentAt) < wait) return;
    }
    device.rotation = { to, sentAt: instant(clock.now()), sends: (before?.sends ?? 0) + 1 };
    send(dispatcher.sendRotation(device, to), 'A new key could not be sent');
  }

  function sendConfig(device: LiveDevice, desired: DeviceSettings, version: number): void {
    device.configSentAt = instant(clock.now());
    send(dispatcher.sendConfig(device, desired, version), 'Settings could not be sent');
  }

  function dueForConfig({ configSentAt }: LiveDevice): boolean {
    return configSentAt === undefined || clock.now() - Date.parse(configSentAt) >= CONFIG_AGAIN_MS;
  }

  /** Best effort by design: the box reports again. Never awaited, because the way down leads back here. */
  function send(sending: Promise<void>, failure: string): void {
    sending.catch((error: unknown) => logger.warn({ err: error }, failure));
  }

  return { isWorthALook, compare };
}

function differs({ journal, configVersion, quietKeyVersion }: ReportEffects, state: DeviceState): state is RegisteredDevice {
  if (state.kind === 'unregistered') return false;
  if (quietKeyVersion !== undefined && (state.keys.rotatingTo !== null || state.keys.version < quietKeyVersion || state.protocol.level === 0)) return true;
  return (journal !== undefined && state.unlocks.unknown.length > 0) || (configVersion !== undefined && (configVersion !== state.settings.version || lacksWord(state)));
}

/** What the box made of its settings is not known. */
function lacksWord({ settings: { version, applied } }: RegisteredDevice): boolean {
  return version > 0 && applied !== version;
}
