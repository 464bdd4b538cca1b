import { randomInt } from 'node:crypto';
import type { DeviceProfile } from '../domain/device/events.ts';
import type { DeviceState } from '../domain/device/state.ts';
import type { DomainEvent, Recorded, RecordedOf } from '../domain/events.ts';
import { isSealed } from '../domain/kernel.ts';
import { deviceAggregate } from '../domain/registry.ts';
import { instant, type Clock } from '../platform/clock.ts';
import { derivedCommandId, deviceIdOfSerial, normaliseSerial } from '../platform/ids.ts';
import type { Sealer } from '../platform/vault/sealer.ts';
import type { Reactor } from './policies/reactor.ts';
import type { Aggregates } from './handle.ts';
import type { AwaitInFlight } from './in-flight.ts';
import { NotProvisionable, type DeviceRegistration, type ProvisioningBlock } from './port.ts';
import type { RefusalLog } from './refusals.ts';

/** What a new box needs outside its stream: keys, a broker credential, a row. Each call can be repeated. */
export interface Provisioner {
  /** Its topics and the master key, before the registration: a registered box always has them. @throws NotProvisionable */
  prepare(device: ProvisionedDevice, keyVersion: number): Promise<void>;
  /** @throws NotProvisionable */
  provision(device: ProvisionedDevice): Promise<ProvisioningBlock>;
  /** What a box is flashed with anew: another key, and every one before it is worth nothing from here on. Can be repeated. */
  reprovision(deviceId: string, keyVersion: number): Promise<ProvisioningBlock>;
  /** The box signs with this key: from here on every other one of it is worth nothing, in the vault and at the broker. */
  keepOnly(deviceId: string, keyVersion: number): Promise<void>;
  /** It can no longer connect, and nothing signed with its keys counts. */
  revoke(deviceId: string): Promise<void>;
  /** What the log says of its protocol: from `pinned` on nothing unsigned counts from it. */
  setPinned(deviceId: string, pinned: boolean): Promise<void>;
}

export interface ProvisionedDevice {
  readonly deviceId: string;
  readonly serialNumber: string;
  readonly profile: DeviceProfile;
  readonly hardwareId?: string;
}

export interface RegistrationSettings {
  readonly pinLength: number;
  readonly pinExpiryHours: number;
  readonly defaultModel: string;
}

const FIRST_KEY_VERSION = 1;
/** As long as an answer waits (design: a revocation and what is in flight). */
const IN_FLIGHT_WAIT_MS = 2_000;

export function createRegistration(deps: {
  readonly bus: Pick<Aggregates, 'execute' | 'load' | 'recall'>;
  readonly provisioner: Provisioner;
  readonly sealer: Pick<Sealer, 'open'>;
  readonly refusals: Pick<RefusalLog, 'recordAs'>;
  readonly pinTag: (deviceId: string, pin: string) => string;
  readonly settings: RegistrationSettings;
  readonly clock: Clock;
}): DeviceRegistration {
  const { bus, provisioner, sealer, refusals, pinTag, settings, clock } = deps;

  function newPin(deviceId: string): { readonly pin: string; readonly pinTag: string; readonly pinExpiresAt: string } {
    const pin = `${randomInt(10 ** settings.pinLength)}`.padStart(settings.pinLength, '0');
    return { pin, pinTag: pinTag(deviceId, pin), pinExpiresAt: instant(clock.now() + settings.pinExpiryHours * 3_600_000) };
  }

  /** From the event, so that a repeat shows the PIN of the first time. */
  async function pinOf(events: readonly Recorded<DomainEvent>[], type: 'DeviceRegistered' | 'DevicePinRegenerated'): Promise<string> {
    const event = events.find((each): each is RecordedOf<'DeviceRegistered'> | RecordedOf<'DevicePinRegenerated'> => each.type === type);
    const pin = event?.data.pin;
    const opened = isSealed(pin) ? await sealer.open<string>(pin, type, 'pin') : pin;
    if (opened === undefined) throw new Error(`The PIN of ${event?.stream ?? 'a box'} cannot be opened`);
    return opened;
  }

  return {
    pinTag,

    async register(input, context) {
      const serialNumber = normaliseSerial(input.serialNumber);
      const deviceId = deviceIdOfSerial(serialNumber);
      const profile = input.profile ?? 'loqey';
      const hardware = input.hardwareId === undefined ? {} : { hardwareId: input.hardwareId };
      const device: ProvisionedDevice = { deviceId, serialNumber, profile, ...hardware };
      try {
        await provisioner.prepare(device, FIRST_KEY_VERSION);
      } catch (error) {
        if (!(error instanceof NotProvisionable)) throw error;
        const refusal = { code: 'hardware_id_taken' } as const;
        refusals.recordAs('RegisterDevice', { kind: 'device', id: deviceId }, refusal, context);
        return { kind: 'refused', refusal };
      }
      const outcome = await bus.execute(
        {
          type: 'RegisterDevice',
          data: { deviceId, serialNumber, model: input.model ?? settings.defaultModel, profile, ...hardware, keyVersion: FIRST_KEY_VERSION, ...newPin(deviceId) },
        },
        context,
      );
      if (outcome.kind === 'refused') return { kind: 'refused', refusal: outcome.refusal };
      // A repeat that comes after the box was taken out of service must not let it in again.
      const { state } = outcome.repeated ? await bus.load<DeviceState>(deviceAggregate, deviceId) : { state: undefined };
      if (state?.kind === 'registered' && state.decommissioned) return { kind: 'refused', refusal: { code: 'device_decommissioned' } };
      const pin = await pinOf(outcome.events, 'DeviceRegistered');
      const provisioning = await provisioner.provision(device);
      return { kind: 'registered', deviceId, serialNumber, pin, provisioning, position: outcome.position };
    },

    async reprovision(deviceId, reason, context) {
      const { state } = await bus.load<DeviceState>(deviceAggregate, deviceId);
      if (state.kind === 'unregistered') return { kind: 'refused', refusal: { code: 'device_not_found' } };
      if (state.decommissioned) return { kind: 'refused', refusal: { code: 'device_decommissioned' } };
      const stream = deviceAggregate.streamOf(deviceId);
      const before = (await bus.recall(stream, context.commandId)).find((event) => event.type === 'DeviceKeysRotated');
      // A version that nothing signed has, nor what is on its way to the box. A repeat answers with the key of the first time.
      const keyVersion = before?.data.keyVersion ?? Math.max(state.keys.version, state.keys.rotatingTo ?? 0) + 1;
      if (before !== undefined && state.keys.version !== keyVersion) return { kind: 'refused', refusal: { code: 'conflict' } };
      const provisioning = await provisioner.reprovision(deviceId, keyVersion);
      const rotated = await bus.execute({ type: 'CompleteKeyRotation', data: { deviceId, keyVersion, by: 'reprovisioning' } }, context);
      if (rotated.kind === 'refused') return { kind: 'refused', refusal: rotated.refusal };
      // What it is flashed with may be older firmware: the pin to signatures is taken back, and comes again with the first one.
      const unpinned = await bus.execute(
        { type: 'UnpinProtocol', data: { deviceId, reason } },
        { ...context, commandId: derivedCommandId('unpin', context.commandId), causationId: context.commandId },
      );
      return { kind: 'reprovisioned', provisioning, position: unpinned.position ?? rotated.position };
    },

    async regeneratePin(deviceId, context) {
      const outcome = await bus.execute({ type: 'RegeneratePin', data: { deviceId, ...newPin(deviceId) } }, context);
      if (outcome.kind === 'refused') return { kind: 'refused', refusal: outcome.refusal };
      return { kind: 'regenerated', pin: await pinOf(outcome.events, 'DevicePinRegenerated'), position: outcome.position };
    },
  };
}

/**
 * Finishes a registration that broke off after its event, shuts out a box that was decommissioned, and keeps what the
 * devices' side knows of a box in line with the log, also after that was lost.
 */
export function provisioningReactor(provisioner: Provisioner, awaitInFlight: AwaitInFlight): Reactor {
  return {
    name: 'provisioning',
    eventTypes: ['DeviceRegistered', 'DeviceDecommissioned', 'DeviceKeysRotated', 'DeviceProtocolPinned', 'DeviceProtocolUnpinned'],
    startFrom: 'start',
    sideBySide: 8,
    async react(event) {
      const deviceId = event.stream.slice('device-'.length);
      switch (event.type) {
        case 'DeviceRegistered': {
          const { serialNumber, profile, hardwareId } = event.data;
          // One that has no key any more (decommissioned, or the vault was put back to a backup from before it) or no topics of its own
          // (older versions let that happen) cannot be reached until it is provisioned anew; the others can, and wait for nothing.
          await provisioner.provision({ deviceId, serialNumber, profile, ...(hardwareId === undefined ? {} : { hardwareId }) }).catch((error: unknown) => {
            if (!(error instanceof NotProvisionable)) throw error;
          });
          return;
        }
        case 'DeviceDecommissioned':
          // An opening that was under way is heard to its end, as whoever decommissioned it waits: cut off, it would be unknown for good.
          await awaitInFlight(deviceId, undefined, IN_FLIGHT_WAIT_MS);
          return provisioner.revoke(deviceId);
        case 'DeviceKeysRotated':
          return provisioner.keepOnly(deviceId, event.data.keyVersion);
        case 'DeviceProtocolPinned':
          return provisioner.setPinned(deviceId, true);
        case 'DeviceProtocolUnpinned':
          return provisioner.setPinned(deviceId, false);
        default:
          return;
      }
    },
  };
}
