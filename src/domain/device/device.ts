import { assertNever, refuse, type Decider, type Instant } from '../kernel.ts';
import { createLink, deleteLink, expireLink, revokeLink, updateLink } from '../link/link.ts';
import { changeLink, noLinks, putLink, type Link } from '../link/links.ts';
import { addMs } from '../time.ts';
import {
  activateOwner,
  assignDevice,
  changeLocation,
  PIN_WINDOW_MS,
  renameDevice,
  requestUnlink,
  suspendOwner,
  unlinkDevice,
} from './assignment.ts';
import type { DeviceCommand } from './commands.ts';
import type { DeviceEvent, DeviceEventOf } from './events.ts';
import {
  acceptLevel0Deliveries,
  completeKeyRotation,
  decommission,
  endMaintenance,
  pinProtocol,
  regeneratePin,
  registerDevice,
  startKeyRotation,
  startMaintenance,
  unpinProtocol,
  viewPin,
} from './lifecycle.ts';
import { openingKey, recordCloneSuspicion, recordOffline, recordReport } from './reports.ts';
import type { DeviceDecision } from './rules.ts';
import { changeSettings, reportSettingsVersion } from './settings.ts';
import {
  defaultSettings,
  ENDED_KEPT,
  noUnlocks,
  nothingReported,
  UNKNOWNS_KEPT,
  unregistered,
  type DeviceState,
  type OpenUnlock,
  type RegisteredDevice,
  type ReportedState,
} from './state.ts';
import {
  cancelUnlock,
  closeUnknown,
  dispatchUnlock,
  expireUnlock,
  findUnlock,
  recordAnswer,
  recordPublished,
  requestUnlock,
  settleUnlocks,
} from './unlock.ts';

/** How many unexplained openings are remembered so that a repeated report makes no second alert. */
const UNEXPLAINED_KEPT = 16;

export const deviceDecider: Decider<DeviceState, DeviceCommand, DeviceEvent> = {
  initialState: unregistered,
  decide,
  evolve,
};

function decide(state: DeviceState, command: DeviceCommand, now: Instant): DeviceDecision {
  if (command.type === 'RegisterDevice') return registerDevice(state, command);
  if (state.kind === 'unregistered') return refuse('device_not_found');
  switch (command.type) {
    case 'RegeneratePin':
      return regeneratePin(state, command);
    case 'ViewPin':
      return viewPin(state);
    case 'StartMaintenance':
      return startMaintenance(state, command);
    case 'EndMaintenance':
      return endMaintenance(state);
    case 'DecommissionDevice':
      return decommission(state, command);
    case 'StartKeyRotation':
      return startKeyRotation(state, command);
    case 'CompleteKeyRotation':
      return completeKeyRotation(state, command);
    case 'PinProtocol':
      return pinProtocol(state);
    case 'UnpinProtocol':
      return unpinProtocol(state, command);
    case 'AcceptLevel0Deliveries':
      return acceptLevel0Deliveries(state, command);
    case 'AssignDevice':
      return assignDevice(state, command, now);
    case 'RenameDevice':
      return renameDevice(state, command);
    case 'ChangeDeviceLocation':
      return changeLocation(state, command);
    case 'RequestUnlink':
      return requestUnlink(state, command);
    case 'UnlinkDevice':
      return unlinkDevice(state, command);
    case 'SuspendOwner':
      return suspendOwner(state, command);
    case 'ActivateOwner':
      return activateOwner(state, command);
    case 'ChangeSettings':
      return changeSettings(state, command);
    case 'ReportSettingsVersion':
      return reportSettingsVersion(state, command);
    case 'CreateLink':
      return createLink(state, command, now);
    case 'UpdateLink':
      return updateLink(state, command, now);
    case 'RevokeLink':
      return revokeLink(state, command, now);
    case 'DeleteLink':
      return deleteLink(state, command);
    case 'ExpireLink':
      return expireLink(state, command, now);
    case 'RequestUnlock':
      return requestUnlock(state, command, now);
    case 'DispatchUnlock':
      return dispatchUnlock(state, command, now);
    case 'CancelUnlock':
      return cancelUnlock(state, command);
    case 'RecordUnlockPublished':
      return recordPublished(state, command);
    case 'RecordUnlockAnswer':
      return recordAnswer(state, command, now);
    case 'ExpireUnlock':
      return expireUnlock(state, command, now);
    case 'SettleUnlocks':
      return settleUnlocks(state, command);
    case 'CloseUnknownUnlock':
      return closeUnknown(state, command);
    case 'RecordReport':
      return recordReport(state, command, now);
    case 'RecordOffline':
      return recordOffline(state, command);
    case 'RecordCloneSuspicion':
      return recordCloneSuspicion(state, command, now);
    default:
      return assertNever(command, 'command');
  }
}

function evolve(state: DeviceState, event: DeviceEvent, at: Instant): DeviceState {
  if (event.type === 'DeviceRegistered') return registered(event);
  if (state.kind === 'unregistered') throw new Error(`${event.type} before DeviceRegistered: this stream is not whole`);
  switch (event.type) {
    case 'DevicePinRegenerated': {
      const { pinTag, pinExpiresAt } = event.data;
      return { ...state, pin: { ...state.pin, tag: pinTag, expiresAt: pinExpiresAt, void: false, guesses: 0 } };
    }
    case 'DevicePinViewed':
      return state;
    case 'DevicePinRefused': {
      const since = addMs(at, -PIN_WINDOW_MS);
      const refusals = [...state.pin.refusals.filter((refusal) => refusal.at > since), { userId: event.data.userId, at }];
      return { ...state, pin: { ...state.pin, guesses: state.pin.guesses + 1, refusals } };
    }
    case 'DevicePinVoided':
      return { ...state, pin: { ...state.pin, void: true } };
    case 'MaintenanceStarted':
      return { ...state, maintenance: true };
    case 'MaintenanceEnded':
      return { ...state, maintenance: false };
    case 'DeviceDecommissioned':
      return { ...state, decommissioned: true, pin: { ...state.pin, void: true } };

    case 'DeviceAssigned': {
      const { assignmentId, userId } = event.data;
      return { ...state, assignment: { assignmentId, userId, assignedAt: at, suspended: false, suspensions: 0, unlinkRequested: false }, keys: { ...state.keys, due: true } };
    }
    case 'DeviceRenamed':
    case 'DeviceLocationChanged':
      return state;
    case 'DeviceUnlinkRequested':
      return state.assignment === null ? state : { ...state, assignment: { ...state.assignment, unlinkRequested: true } };
    case 'DeviceUnlinked':
      return { ...state, assignment: null, previousOwnerId: event.data.userId, pin: { ...state.pin, void: true } };
    case 'OwnerSuspended':
      return state.assignment === null
        ? state
        : { ...state, assignment: { ...state.assignment, suspended: true, suspensions: state.assignment.suspensions + 1 } };
    case 'OwnerActivated':
      return state.assignment === null ? state : { ...state, assignment: { ...state.assignment, suspended: false } };

    case 'DeviceSettingsChanged': {
      const { configVersion, desired } = event.data;
      return { ...state, settings: { ...state.settings, version: configVersion, desired } };
    }
    case 'DeviceSettingsApplied':
      return { ...state, settings: { ...state.settings, applied: event.data.configVersion } };
    case 'DeviceKeyRotationStarted':
      return { ...state, keys: { ...state.keys, rotatingTo: event.data.keyVersion, due: false } };
    case 'DeviceKeysRotated':
      return rotated(state, event);
    case 'DeviceProtocolPinned':
      return { ...state, protocol: { level: 1, level0Deliveries: false } };
    case 'DeviceProtocolUnpinned':
      return { ...state, protocol: { level: 0, level0Deliveries: false } };
    case 'Level0DeliveriesAccepted':
      return { ...state, protocol: { ...state.protocol, level0Deliveries: true } };

    case 'LinkCreated':
      return { ...state, links: putLink(state.links, created(state, event)) };
    case 'LinkUpdated': {
      const { linkId, expiresAt, maxUses, requireIdentity, window } = event.data;
      return withLink(state, linkId, (link) => ({
        ...link,
        expiresAt: expiresAt ?? link.expiresAt,
        maxUses: maxUses ?? link.maxUses,
        requireIdentity: requireIdentity ?? link.requireIdentity,
        window: window === undefined ? link.window : window === 'always' ? null : window,
      }));
    }
    case 'LinkRevoked':
      return withLink(state, event.data.linkId, (link) => ({ ...link, revokedAt: at }));
    case 'LinkDeleted':
      return withLink(state, event.data.linkId, (link) => ({ ...link, revokedAt: link.revokedAt ?? at, deleted: true }));
    case 'LinkExpired':
      return withLink(state, event.data.linkId, (link) => ({ ...link, expiryRecorded: true }));

    case 'UnlockRequested': {
      const { unlockId, cause, assignmentId, issuedAt, expiresAt } = event.data;
      const current: OpenUnlock = { unlockId, cause, assignmentId: assignmentId ?? null, issuedAt, expiresAt, phase: 'requested', dispatch: null };
      const requested = { ...state, unlocks: { ...state.unlocks, current } };
      return cause.kind === 'link' ? withLink(requested, cause.id, (link) => ({ ...link, uses: link.uses + 1, usedAt: at })) : requested;
    }
    case 'EmergencyUnlockUnexplained':
      return state;
    case 'UnlockDispatched': {
      const { level, seq, keyVersion, journalId, reportSeq } = event.data;
      const dispatch = { at, level, seq: seq ?? null, keyVersion: keyVersion ?? null, journalId: journalId ?? null, reportSeq: reportSeq ?? null };
      const dispatched = inPhase(state, event.data.unlockId, (unlock) => ({ ...unlock, phase: 'dispatched', dispatch }));
      return { ...dispatched, unlocks: { ...dispatched.unlocks, lastSeq: Math.max(state.unlocks.lastSeq, seq ?? 0) } };
    }
    case 'UnlockPublished':
      return inPhase(state, event.data.unlockId, (unlock) => ({ ...unlock, phase: 'published' }));
    case 'UnlockAcknowledged':
      return heard(inPhase(state, event.data.unlockId, (unlock) => ({ ...unlock, phase: 'acknowledged' })));
    case 'UnlockConfirmed':
      return heard(ended(state, event.data.unlockId, { useReturned: false, openedAt: at }));
    case 'UnlockFailed':
      return heard(ended(state, event.data.unlockId, { useReturned: event.data.useReturned, openedAt: null }));
    case 'UnlockSettled': {
      const { unlockId, outcome, useReturned } = event.data;
      return ended(state, unlockId, { useReturned, openedAt: outcome === 'opened' ? at : null });
    }
    case 'UnlockCancelled':
    case 'UnlockExpired':
      return ended(state, event.data.unlockId, { useReturned: true, openedAt: null });
    case 'UnlockOutcomeUnknown': {
      const { current, unknown, ended } = state.unlocks;
      if (current?.unlockId !== event.data.unlockId) return state;
      const forgotten = unknown.length < UNKNOWNS_KEPT ? undefined : unknown[0];
      return {
        ...state,
        unlocks: {
          ...state.unlocks,
          current: null,
          unknown: kept(unknown, current, UNKNOWNS_KEPT),
          ended: forgotten === undefined ? ended : kept(ended, { unlockId: forgotten.unlockId, mayHaveOpened: true }, ENDED_KEPT),
        },
      };
    }
    case 'UnexplainedOpening': {
      const key = openingKey(event.data);
      if (key === undefined) return heard(state);
      return reporting(state, { unexplained: kept(state.reported.unexplained, key, UNEXPLAINED_KEPT) });
    }

    case 'LockStateReported':
      return reporting(state, { lockStatus: event.data.lockStatus, lockStatusAt: at });
    case 'DoorStateReported':
      return reporting(state, { doorOpen: event.data.doorOpen });
    case 'BatteryLevelChanged':
      return reporting(state, { battery: event.data.level });
    case 'FirmwareReported': {
      const { version, capabilities, protocols } = event.data;
      return reporting(state, {
        firmwareVersion: version,
        capabilities: capabilities ?? state.reported.capabilities,
        protocols: protocols ?? state.reported.protocols,
      });
    }
    case 'DeviceWentOnline':
      return reporting(state, { online: true });
    case 'DeviceWentOffline':
      return { ...state, reported: { ...state.reported, online: false } };
    case 'DeviceTampered':
      return reporting(state, { tampered: true });
    case 'DeviceTamperCleared':
      return reporting(state, { tampered: false });
    case 'DeviceCloneSuspected':
      return { ...state, reported: { ...state.reported, cloneSuspectedAt: at } };
    case 'ParcelDetected':
      return reporting(state, { parcelPresent: true });
    case 'ParcelRemoved':
      return reporting(state, { parcelPresent: false });
    default:
      return assertNever(event, 'event');
  }
}

function registered({ data }: DeviceEventOf<'DeviceRegistered'>): RegisteredDevice {
  const { deviceId, serialNumber, profile, keyVersion, pinTag, pinExpiresAt } = data;
  return {
    kind: 'registered',
    deviceId,
    serialNumber,
    profile,
    decommissioned: false,
    maintenance: false,
    seen: false,
    pin: { tag: pinTag, expiresAt: pinExpiresAt, void: false, guesses: 0, refusals: [] },
    assignment: null,
    previousOwnerId: null,
    links: noLinks,
    unlocks: noUnlocks,
    reported: nothingReported,
    settings: { desired: defaultSettings, version: 0, applied: null },
    protocol: { level: 0, level0Deliveries: false },
    keys: { version: keyVersion, rotatingTo: null, due: false },
  };
}

/** The new key has one holder: who used the old one besides is out. A key from a flashing station is new to everyone. */
function rotated(state: RegisteredDevice, { data }: DeviceEventOf<'DeviceKeysRotated'>): RegisteredDevice {
  const due = state.keys.due && data.by === 'device';
  return { ...state, keys: { version: data.keyVersion, rotatingTo: null, due }, reported: { ...state.reported, cloneSuspectedAt: null } };
}

function created({ assignment }: RegisteredDevice, { data }: DeviceEventOf<'LinkCreated'>): Link {
  const { linkId, assignmentId, tokenHash, startsAt, expiresAt, maxUses, requireIdentity, window } = data;
  return {
    linkId,
    userId: assignment?.userId ?? '',
    assignmentId,
    suspensions: assignment?.suspensions ?? 0,
    tokenHash,
    startsAt: startsAt ?? null,
    expiresAt,
    maxUses,
    requireIdentity,
    window: window ?? null,
    uses: 0,
    usedAt: null,
    revokedAt: null,
    deleted: false,
    expiryRecorded: false,
  };
}

function withLink(state: RegisteredDevice, linkId: string, change: (link: Link) => Link): RegisteredDevice {
  return { ...state, links: changeLink(state.links, linkId, change) };
}

function inPhase(state: RegisteredDevice, unlockId: string, change: (unlock: OpenUnlock) => OpenUnlock): RegisteredDevice {
  const { current } = state.unlocks;
  return current?.unlockId === unlockId ? { ...state, unlocks: { ...state.unlocks, current: change(current) } } : state;
}

/** Closes an unlock under way or of unknown outcome, and gives its link the use back where that is proven. */
function ended(
  state: RegisteredDevice,
  unlockId: string,
  { useReturned, openedAt }: { readonly useReturned: boolean; readonly openedAt: Instant | null },
): RegisteredDevice {
  const found = findUnlock(state, unlockId);
  if (found === undefined || found.in === 'ended') return state;
  const { current, unknown } = state.unlocks;
  const closed: RegisteredDevice = {
    ...state,
    unlocks: {
      ...state.unlocks,
      current: found.in === 'current' ? null : current,
      unknown: found.in === 'unknown' ? unknown.filter((unlock) => unlock.unlockId !== unlockId) : unknown,
      ended: kept(state.unlocks.ended, { unlockId, mayHaveOpened: !useReturned }, ENDED_KEPT),
    },
  };
  const { cause } = found.unlock;
  if (cause.kind !== 'link' || (!useReturned && openedAt === null)) return closed;
  return withLink(closed, cause.id, (link) =>
    useReturned ? { ...link, uses: link.uses - 1 } : { ...link, usedAt: openedAt },
  );
}

/** A fact that came from the box: it is there. */
function reporting(state: RegisteredDevice, facts: Partial<ReportedState>): RegisteredDevice {
  return { ...state, seen: true, reported: { ...state.reported, ...facts } };
}

function heard(state: RegisteredDevice): RegisteredDevice {
  return state.seen ? state : { ...state, seen: true };
}

function kept<T>(items: readonly T[], item: T, most: number): readonly T[] {
  return items.length < most ? [...items, item] : [...items.slice(items.length - most + 1), item];
}
