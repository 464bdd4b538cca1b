import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { DeviceCommand, DeviceCommandType } from '../../../src/domain/device/commands.ts';
import { deadlinesOf, type DeadlineChange } from '../../../src/domain/device/deadlines.ts';
import { deviceDecider } from '../../../src/domain/device/device.ts';
import type { DeviceEvent, UnlockCause } from '../../../src/domain/device/events.ts';
import type { DeviceState } from '../../../src/domain/device/state.ts';
import { linkStatus } from '../../../src/domain/link/link.ts';
import { allLinks } from '../../../src/domain/link/links.ts';
import { addMs, fromMs, toMs } from '../../../src/domain/time.ts';
import { now as start } from '../../support/given.ts';
import { ada, admin, bob, command, deviceId } from './box.ts';
import { ToyBox, type Fate, type Report, type SentCommand } from './toy-box.ts';

/**
 * Commands, reports, crashes and clock steps in any order, with a box that moves bolts on its own account and a network
 * that drops, repeats, delays and reorders. After each step nothing may be true that must never be.
 */

const users = [ada, bob] as const;
const fates: readonly Fate[] = ['opens', 'opens', 'opens', 'sensed_stuck', 'jams_moved', 'jams_unmoved', 'power_lost_before', 'power_lost_after', 'flash_fails'];

/** Looks again, or overwrites a sealed value that cannot be compared: a repeat is known by its command id alone. */
const repeatable: readonly DeviceCommandType[] = ['ViewPin', 'RenameDevice', 'ChangeDeviceLocation'];

type Action =
  | { readonly do: 'register' | 'report' | 'reboot' | 'loseJournal' | 'crash' | 'decommission' | 'offline' | 'deadlines' }
  | { readonly do: 'pass' | 'step' | 'sync'; readonly ms: number }
  | { readonly do: 'claim' | 'unlink' | 'suspend' | 'activate' | 'wrongPin'; readonly user: number }
  | { readonly do: 'adminUnlink' | 'newPin' | 'maintain' | 'release' | 'unpin' | 'lowBattery' | 'charge' | 'close' | 'expireLinks' }
  /** An administrator's order, what follows from a claim, a report signed with the new key, a box flashed anew. */
  | { readonly do: 'rotate' | 'rotateIfDue' | 'newKeySeen' | 'reprovision' }
  | { readonly do: 'share'; readonly user: number; readonly maxUses: number; readonly hours: number }
  | { readonly do: 'update'; readonly link: number; readonly maxUses: number; readonly hours: number }
  | { readonly do: 'revoke' | 'delete'; readonly link: number }
  | { readonly do: 'request'; readonly by: 'link' | 'owner' | 'admin'; readonly which: number }
  | { readonly do: 'dispatch'; readonly published: boolean }
  | { readonly do: 'redeliver'; readonly which: number }
  /** No answer until the outcome is called unknown, then a word of the box: a new one, or one that was on its way. */
  | { readonly do: 'silence'; readonly which: number; readonly fresh: boolean }
  /** The whole path at once, as it mostly goes: asked, sent, taken, `answers` of the box’s words heard. */
  | { readonly do: 'tap'; readonly by: 'link' | 'owner' | 'admin'; readonly which: number; readonly fate: number; readonly answers: number }
  | { readonly do: 'downlink' | 'uplink'; readonly which: number; readonly keep: boolean; readonly fate: number };

const nat = (max: number) => fc.nat({ max });
type Plain = Exclude<{ [A in Action as A['do']]: keyof A extends 'do' ? A['do'] : never }[Action['do']], never>;
const plain = (...names: readonly Plain[]): fc.Arbitrary<Action> => fc.constantFrom(...names).map((name) => ({ do: name }));

const by = fc.constantFrom('link' as const, 'link' as const, 'link' as const, 'owner' as const, 'admin' as const);
const actions: fc.Arbitrary<Action> = fc.oneof(
  { weight: 8, arbitrary: fc.record({ do: fc.constant('tap' as const), by, which: nat(3), fate: nat(fates.length - 1), answers: nat(3) }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('silence' as const), which: nat(9), fresh: fc.boolean() }) },
  { weight: 6, arbitrary: fc.record({ do: fc.constant('request' as const), by, which: nat(3) }) },
  { weight: 6, arbitrary: fc.record({ do: fc.constant('dispatch' as const), published: fc.boolean() }) },
  { weight: 8, arbitrary: fc.record({ do: fc.constant('downlink' as const), which: nat(9), keep: fc.boolean(), fate: nat(fates.length - 1) }) },
  { weight: 8, arbitrary: fc.record({ do: fc.constant('uplink' as const), which: nat(9), keep: fc.boolean(), fate: fc.constant(0) }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('redeliver' as const), which: nat(9) }) },
  { weight: 5, arbitrary: fc.record({ do: fc.constant('pass' as const), ms: fc.constantFrom(100, 1_000, 11_000, 11_000, 29_000, 31_000, 41_000, 3_590_000) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('step' as const), ms: fc.constantFrom(-120_000, -20_000, -1_000, 1_000, 20_000, 120_000) }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('sync' as const), ms: nat(5_000) }) },
  { weight: 6, arbitrary: plain('report', 'deadlines') },
  { weight: 3, arbitrary: plain('crash', 'reboot', 'loseJournal', 'lowBattery', 'charge', 'expireLinks', 'offline') },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('share' as const), user: nat(1), maxUses: fc.integer({ min: 0, max: 3 }), hours: fc.integer({ min: 0, max: 3 }) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('update' as const), link: nat(1), maxUses: nat(3), hours: fc.constantFrom(0, 1, 1, 1, 2, 3) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constantFrom('revoke' as const, 'delete' as const), link: nat(3) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constantFrom('claim' as const, 'claim' as const, 'activate' as const, 'unlink' as const, 'suspend' as const, 'activate' as const, 'wrongPin' as const), user: nat(1) }) },
  { weight: 1, arbitrary: plain('adminUnlink', 'newPin', 'newPin', 'rotate', 'rotateIfDue', 'rotateIfDue', 'newKeySeen', 'newKeySeen', 'reprovision', 'maintain', 'release', 'release', 'unpin', 'close') },
  { weight: 1, arbitrary: plain('register', 'register', 'register', 'register', 'register', 'decommission') },
);

/** What the log alone says, read by rules of its own: nothing here asks the decider. */
class Ledger {
  owner: string | undefined;
  assignmentId: string | undefined;
  suspended = false;
  decommissioned = false;
  maintenance = false;
  readonly links = new Map<string, { assignmentId: string; expiresAt: string; maxUses: number; ended: boolean }>();
  readonly causes = new Map<string, { cause: UnlockCause; assignmentId: string | undefined; expiresAt: string }>();
  inFlight: string | undefined;
  /** What the box signs with, what it is being given, and whether somebody had it since the last one was begun. */
  keyVersion = 1;
  rotatingTo: number | undefined;
  keyKnownToOthers = false;
  readonly returned = new Set<string>();

  append({ type, data }: DeviceEvent, at: string): void {
    switch (type) {
      case 'DeviceAssigned':
        expect(this.owner, 'one owner per box').toBeUndefined();
        this.owner = data.userId;
        this.assignmentId = data.assignmentId;
        this.suspended = false;
        this.keyKnownToOthers = true;
        break;
      case 'DeviceKeyRotationStarted':
        expect(this.rotatingTo, 'one rotation at a time').toBeUndefined();
        expect(this.decommissioned, 'no keys for a decommissioned box').toBe(false);
        expect(data.keyVersion).toBe(this.keyVersion + 1);
        this.rotatingTo = data.keyVersion;
        this.keyKnownToOthers = false;
        break;
      case 'DeviceKeysRotated':
        expect(data.keyVersion, 'keys never go back').toBeGreaterThan(this.keyVersion);
        this.keyVersion = data.keyVersion;
        this.rotatingTo = undefined;
        if (data.by === 'reprovisioning') this.keyKnownToOthers = false;
        break;
      case 'DeviceUnlinked':
        expect(data.assignmentId).toBe(this.assignmentId);
        this.owner = undefined;
        this.assignmentId = undefined;
        for (const link of this.links.values()) link.ended = true;
        break;
      case 'OwnerSuspended':
        this.suspended = true;
        for (const link of this.links.values()) link.ended = true;
        break;
      case 'OwnerActivated':
        this.suspended = false;
        break;
      case 'MaintenanceStarted':
        this.maintenance = true;
        break;
      case 'MaintenanceEnded':
        this.maintenance = false;
        break;
      case 'DeviceDecommissioned':
        this.decommissioned = true;
        break;
      case 'LinkCreated':
        expect(this.suspended || this.decommissioned, 'no link without an active owner').toBe(false);
        expect(data.assignmentId).toBe(this.assignmentId);
        this.links.set(data.linkId, { assignmentId: data.assignmentId, expiresAt: data.expiresAt, maxUses: data.maxUses, ended: false });
        break;
      case 'LinkUpdated': {
        const link = this.linkOf(data.linkId);
        expect(link.ended, 'an ended link is not changed').toBe(false);
        link.expiresAt = data.expiresAt ?? link.expiresAt;
        link.maxUses = data.maxUses ?? link.maxUses;
        break;
      }
      case 'LinkRevoked':
      case 'LinkDeleted':
        this.linkOf(data.linkId).ended = true;
        break;
      case 'UnlockRequested':
        expect(this.inFlight, 'one unlock in flight').toBeUndefined();
        expect(toMs(data.expiresAt) - toMs(data.issuedAt)).toBeLessThanOrEqual(30_000);
        this.inFlight = data.unlockId;
        this.causes.set(data.unlockId, { cause: data.cause, assignmentId: data.assignmentId, expiresAt: data.expiresAt });
        this.mayOpen(data.unlockId, at);
        expect(this.usesOf(data.cause.id)).toBeLessThanOrEqual(this.links.get(data.cause.id)?.maxUses ?? Infinity);
        break;
      case 'UnlockDispatched':
        expect(this.inFlight).toBe(data.unlockId);
        expect(at < (this.causes.get(data.unlockId)?.expiresAt ?? ''), 'nothing is dispatched after its expiry').toBe(true);
        this.mayOpen(data.unlockId, at);
        break;
      case 'UnlockConfirmed':
      case 'UnlockOutcomeUnknown':
        this.over(data.unlockId);
        break;
      case 'UnlockFailed':
        this.over(data.unlockId);
        if (data.useReturned) this.returned.add(data.unlockId);
        break;
      case 'UnlockSettled':
        if (data.useReturned) this.returned.add(data.unlockId);
        break;
      case 'UnlockCancelled':
      case 'UnlockExpired':
        this.over(data.unlockId);
        this.returned.add(data.unlockId);
        break;
      default:
        break;
    }
  }

  /** Uses of a link: every unlock it caused that was not given back. */
  usesOf(linkId: string): number {
    return [...this.causes].filter(([id, { cause }]) => cause.kind === 'link' && cause.id === linkId && !this.returned.has(id)).length;
  }

  private mayOpen(unlockId: string, at: string): void {
    const unlock = this.causes.get(unlockId);
    if (unlock === undefined) throw new Error('never requested');
    const { cause, assignmentId } = unlock;
    expect(this.decommissioned, 'nothing after decommissioning').toBe(false);
    if (cause.kind === 'admin') return;
    expect(this.maintenance, 'only an admin in maintenance').toBe(false);
    expect(this.owner, 'nothing after an unlink').toBeDefined();
    expect(assignmentId).toBe(this.assignmentId);
    expect(this.suspended, 'nothing after a suspension').toBe(false);
    if (cause.kind === 'owner') expect(cause.id).toBe(this.owner);
    if (cause.kind === 'link') {
      const link = this.linkOf(cause.id);
      expect(link.ended, 'nothing after a revocation').toBe(false);
      expect(at < link.expiresAt, 'nothing after the link’s expiry').toBe(true);
    }
  }

  private linkOf(linkId: string) {
    const link = this.links.get(linkId);
    if (link === undefined) throw new Error(`No link ${linkId}`);
    return link;
  }

  private over(unlockId: string): void {
    expect(this.inFlight).toBe(unlockId);
    this.inFlight = undefined;
  }
}

/** Old firmware's words name no command. */
type Heard = Report | { readonly kind: 'unsigned'; readonly success: boolean };

class World {
  /** 0: a box of old firmware. Whatever reaches it moves its bolt, however late and however often. */
  private readonly level: 0 | 1;
  readonly box = new ToyBox();
  readonly log: (readonly [DeviceEvent, string])[] = [];
  readonly ledger = new Ledger();
  state: DeviceState = deviceDecider.initialState;
  private serverMs = toMs(start);
  private downlinks: SentCommand[] = [];
  private uplinks: Heard[] = [];
  private readonly dispatchedCommands = new Map<string, SentCommand>();
  private readonly linkIds: string[] = [];
  private readonly deadlines = new Map<string, Extract<DeadlineChange, { kind: 'set' }>>();
  private readonly seen = new Set<number>();
  private known: { journalId?: string; reportSeq?: number; reportedSeq?: number } = {};
  /** The newest instant that this box was sent or has told: no time that it is told is before it (docs/decisions/0053). */
  private newestMs = 0;
  /** The start of the box that said hello last: it is sent nothing before (device protocol, section 3). */
  private greeted = 0;
  private pinTag = 'pin-0';
  private ids = 0;

  constructor(level: 0 | 1) {
    this.level = level;
  }

  run(action: Action): void {
    this.perform(action);
    this.check();
  }

  private get now(): string {
    return fromMs(this.serverMs);
  }

  private newId(kind: string): string {
    this.ids += 1;
    return `${kind}-${this.ids.toString(16).padStart(4, '0')}`;
  }

  private send(sent: DeviceCommand): readonly DeviceEvent[] {
    const { events } = deviceDecider.decide(this.state, sent, this.now);
    for (const event of events) {
      this.log.push([event, this.now]);
      this.ledger.append(event, this.now);
      for (const change of deadlinesOf(deviceId, event)) this.schedule(change);
      this.state = deviceDecider.evolve(this.state, event, this.now);
    }
    const before = this.state;
    const repeat = deviceDecider.decide(before, sent, this.now);
    // A wrong PIN is a new guess each time.
    if (!repeatable.includes(sent.type) && repeat.refusal?.code !== 'pin_invalid') {
      expect(repeat.events, `${sent.type} repeated`).toEqual([]);
    }
    return events;
  }

  private perform(action: Action): void {
    switch (action.do) {
      case 'register': {
        const pinExpiresAt = addMs(this.now, 30 * 86_400_000);
        this.send(command('RegisterDevice', { serialNumber: 'LQ-1', model: 'm', profile: 'loqey', keyVersion: 1, pin: '1', pinTag: 'pin-0', pinExpiresAt }));
        return;
      }
      case 'newPin':
        this.pinTag = this.newId('pin');
        this.send(command('RegeneratePin', { pin: '2', pinTag: this.pinTag, pinExpiresAt: addMs(this.now, 30 * 86_400_000) }));
        return;
      case 'claim':
        this.send(command('AssignDevice', { assignmentId: this.newId('assignment'), userId: users[action.user] ?? ada, pinTag: this.pinTag, name: 'n' }));
        return;
      case 'wrongPin':
        this.send(command('AssignDevice', { assignmentId: 'x', userId: users[action.user] ?? ada, pinTag: 'wrong', name: 'n' }));
        return;
      case 'unlink':
        this.send(command('UnlinkDevice', { userId: users[action.user] ?? ada }));
        return;
      case 'adminUnlink':
        this.send(command('UnlinkDevice', {}));
        return;
      case 'suspend':
        this.send(command('SuspendOwner', { userId: users[action.user] ?? ada }));
        return;
      case 'activate':
        this.send(command('ActivateOwner', { userId: users[action.user] ?? ada }));
        return;
      case 'maintain':
        this.send(command('StartMaintenance', {}));
        return;
      case 'release':
        this.send(command('EndMaintenance', {}));
        return;
      case 'decommission':
        this.send(command('DecommissionDevice', {}));
        return;
      case 'rotate':
        this.send(command('StartKeyRotation', {}));
        return;
      case 'rotateIfDue':
        this.send(command('StartKeyRotation', { ifDue: true }));
        return;
      case 'newKeySeen':
        this.send(command('CompleteKeyRotation', { keyVersion: this.ledger.rotatingTo ?? this.ledger.keyVersion, by: 'device' }));
        return;
      case 'reprovision':
        if (this.state.kind === 'registered') this.send(command('CompleteKeyRotation', { keyVersion: this.ledger.keyVersion + 2, by: 'reprovisioning' }));
        return;
      case 'unpin':
        this.send(command('UnpinProtocol', { reason: 'model' }));
        return;
      case 'offline':
        this.send(command('RecordOffline', { lastHeardAt: this.now }));
        return;
      case 'share': {
        const linkId = this.newId('link');
        const { maxUses, hours } = action;
        const events = this.send(
          command('CreateLink', {
            linkId,
            userId: users[action.user] ?? ada,
            token: 't',
            tokenHash: linkId,
            expiresAt: addMs(this.now, hours * 3_600_000),
            latestExpiry: addMs(this.now, 2 * 3_600_000),
            maxUses,
            requireIdentity: false,
          }),
        );
        if (events.length > 0) this.linkIds.push(linkId);
        return;
      }
      case 'update': {
        const { maxUses, hours } = action;
        const expiresAt = addMs(this.now, hours * 3_600_000);
        this.send(command('UpdateLink', { linkId: this.link(action.link), userId: this.ledger.owner ?? ada, expiresAt, latestExpiry: addMs(this.now, 2 * 3_600_000), maxUses }));
        return;
      }
      case 'revoke':
        this.send(command('RevokeLink', { linkId: this.link(action.link), userId: this.ledger.owner ?? ada }));
        return;
      case 'delete':
        this.send(command('DeleteLink', { linkId: this.link(action.link), userId: this.ledger.owner ?? ada }));
        return;
      case 'expireLinks':
        for (const linkId of this.linkIds) this.send(command('ExpireLink', { linkId }));
        return;
      case 'request': {
        const cause = {
          link: { kind: 'link', id: this.link(action.which) },
          owner: { kind: 'owner', id: users[action.which % 2] ?? ada },
          admin: { kind: 'admin', id: admin },
        } as const;
        this.send(command('RequestUnlock', { unlockId: this.newId('unlock'), cause: cause[action.by], ttlMs: 30_000, level0Deliveries: true }));
        return;
      }
      case 'tap': {
        const { by, which, fate, answers } = action;
        this.perform({ do: 'request', by, which });
        this.perform({ do: 'dispatch', published: true });
        this.downlink(this.downlinks.length - 1, false, fates[fate] ?? 'opens');
        for (let heard = 0; heard < answers; heard++) this.uplink(this.uplinks.length - 1, false);
        return;
      }
      case 'silence':
        this.perform({ do: 'pass', ms: 41_000 });
        this.perform({ do: 'deadlines' });
        if (action.fresh) this.perform({ do: 'report' });
        this.uplink(action.fresh ? this.uplinks.length - 1 : action.which, true);
        return;
      case 'dispatch':
        this.dispatch(action.published);
        return;
      case 'redeliver':
        this.redeliver(action.which);
        return;
      case 'downlink':
        this.downlink(action.which, action.keep, fates[action.fate] ?? 'opens');
        return;
      case 'uplink':
        this.uplink(action.which, action.keep);
        return;
      case 'deadlines':
        for (const { key, dueAt, command: due } of Array.from(this.deadlines.values()).filter((set) => set.dueAt <= this.now)) {
          this.send(due);
          // What is due and stays due would be sent for ever.
          expect(this.deadlines.get(key)?.dueAt ?? '', `${due.type} came to nothing`).not.toBe(dueAt);
        }
        return;
      case 'close': {
        const unlockId = this.state.kind === 'registered' ? this.state.unlocks.unknown[0]?.unlockId : undefined;
        if (unlockId !== undefined) this.send(command('CloseUnknownUnlock', { unlockId, outcome: 'not_opened', remark: 'model' }));
        return;
      }
      case 'report':
        this.uplinks.push(this.box.status());
        return;
      case 'reboot':
        this.box.reboot();
        return;
      case 'loseJournal':
        this.box.loseJournal();
        return;
      case 'lowBattery':
        this.box.lowBattery = true;
        return;
      case 'charge':
        this.box.lowBattery = false;
        return;
      case 'pass':
        this.serverMs += action.ms;
        this.box.pass(action.ms);
        return;
      case 'step':
        this.serverMs += action.ms;
        return;
      case 'sync':
        this.box.sync(Math.max(this.serverMs, this.newestMs) + 1, action.ms);
        return;
      case 'crash':
        // All that was in memory is gone, the log is not.
        this.state = this.log.reduce((state, [event, at]) => deviceDecider.evolve(state, event, at), deviceDecider.initialState);
        return;
    }
  }

  private schedule(change: DeadlineChange): void {
    switch (change.kind) {
      case 'set':
        this.deadlines.set(change.key, change);
        return;
      case 'postpone': {
        const set = this.deadlines.get(change.key);
        if (set !== undefined) this.deadlines.set(change.key, { ...set, dueAt: addMs(set.dueAt, change.byMs) });
        return;
      }
      case 'clear':
        this.deadlines.delete(change.key);
        return;
      case 'clear_all':
        for (const key of this.deadlines.keys()) if (key.startsWith(change.prefix)) this.deadlines.delete(key);
        return;
    }
  }

  private link(index: number): string {
    return this.linkIds.at(-1 - (index % Math.max(1, this.linkIds.length))) ?? 'none';
  }

  /** The claim first; a crash between it and the broker loses the bytes, and they are not made again. */
  private dispatch(published: boolean): void {
    const unlockId = this.ledger.inFlight;
    if (unlockId === undefined) return;
    if (this.level === 1 && this.greeted !== this.box.boots) {
      this.send(command('CancelUnlock', { unlockId, reason: 'device_unreachable' }));
      return;
    }
    const [event] = this.send(
      command('DispatchUnlock', this.level === 0 ? { unlockId, level: 0 } : { unlockId, level: 1, keyVersion: 1, ...this.known }),
    );
    if (event?.type !== 'UnlockDispatched') return;
    const bytes = { commandId: unlockId, seq: event.data.seq ?? 0, issuedAt: this.now, expiresAt: this.ledger.causes.get(unlockId)?.expiresAt ?? '' };
    this.dispatchedCommands.set(unlockId, bytes);
    this.newestMs = Math.max(this.newestMs, this.serverMs);
    if (!published) return;
    this.downlinks.push(bytes);
    this.send(command('RecordUnlockPublished', { unlockId }));
  }

  /** The relay hands the same bytes over again, until two seconds before their expiry. */
  private redeliver(which: number): void {
    const bytes = [...this.dispatchedCommands.values()].at(-1 - which);
    if (bytes !== undefined && this.now < addMs(bytes.expiresAt, -2_000)) this.downlinks.push(bytes);
  }

  private downlink(which: number, keep: boolean, fate: Fate): void {
    const index = which % Math.max(1, this.downlinks.length);
    const bytes = this.downlinks[index];
    if (bytes === undefined) return;
    if (!keep) this.downlinks = this.downlinks.filter((_, other) => other !== index);
    if (this.level === 1) {
      this.uplinks.push(...this.box.receive(bytes, fate));
      return;
    }
    const moves = fate !== 'sensed_stuck' && fate !== 'jams_unmoved';
    if (moves) this.box.moved.add(bytes.commandId);
    this.uplinks.push({ kind: 'unsigned', success: fate === 'opens' });
  }

  private uplink(which: number, keep: boolean): void {
    const index = which % Math.max(1, this.uplinks.length);
    const report = this.uplinks[index];
    if (report === undefined) return;
    if (!keep) this.uplinks = this.uplinks.filter((_, other) => other !== index);
    if (report.kind === 'unsigned') {
      this.hearUnsigned(report.success);
      return;
    }
    if (this.level === 0) {
      this.send(command('RecordReport', { evidence: 'unsigned', lockStatus: 'unlocked', cause: 'unknown' }));
      return;
    }
    const { reportSeq, journalId } = report.kind === 'status' ? report.status : { reportSeq: report.reportSeq, journalId: report.answer.journalId };
    const newest = reportSeq > (this.known.reportSeq ?? -1);
    if (newest && journalId !== undefined) this.known = { ...this.known, reportSeq, journalId };
    if (report.kind === 'answer') {
      this.send(command('RecordUnlockAnswer', report.answer));
      return;
    }
    this.greeted = Math.max(this.greeted, report.boot);
    const { timestamp } = report.status;
    if (timestamp !== undefined) this.newestMs = Math.max(this.newestMs, toMs(timestamp));
    this.known = { ...this.known, reportedSeq: Math.max(this.known.reportedSeq ?? 0, report.status.lastSeq) };
    if (newest && !this.seen.has(reportSeq)) {
      this.send(command('RecordReport', { evidence: 'signed', reportSeq, lockStatus: report.unlocked ? 'unlocked' : 'locked' }));
    }
    this.seen.add(reportSeq);
    this.send(command('SettleUnlocks', { status: report.status }));
  }

  private hearUnsigned(success: boolean): void {
    const unlockId = this.ledger.inFlight;
    if (unlockId === undefined) return;
    const said = success
      ? ({ result: 'opened' } as const)
      : ({ result: 'failed', executed: false, newStatus: 'locked', evidence: 'sensor' } as const);
    this.send(command('RecordUnlockAnswer', { unlockId, phase: 'final', signed: false, ...said }));
  }

  private check(): void {
    for (const unlockId of this.box.moved) {
      expect(this.ledger.causes.has(unlockId), 'no bolt moves unasked').toBe(true);
      expect(this.ledger.returned.has(unlockId), `${unlockId} moved a bolt and its use came back`).toBe(false);
    }
    const openings = new Map<string, number>();
    for (const unlockId of this.box.moved) {
      const cause = this.ledger.causes.get(unlockId)?.cause;
      if (cause?.kind === 'link') openings.set(cause.id, (openings.get(cause.id) ?? 0) + 1);
    }
    for (const [linkId, count] of openings) {
      expect(count, 'openings of a link').toBeLessThanOrEqual(this.ledger.links.get(linkId)?.maxUses ?? 0);
    }
    if (this.state.kind === 'unregistered') return;
    for (const link of allLinks(this.state.links)) {
      expect(link.uses, 'uses of a link').toBe(this.ledger.usesOf(link.linkId));
      if (this.ledger.links.get(link.linkId)?.ended === true) expect(linkStatus(this.state, link, this.now)).not.toBe('active');
    }
    expect(this.state.assignment?.userId).toBe(this.ledger.owner);
    expect(this.state.keys).toEqual({ version: this.ledger.keyVersion, rotatingTo: this.ledger.rotatingTo ?? null, due: this.ledger.keyKnownToOthers });
    // Whatever was between: asked now, a box that can sign and that somebody else may know the key of is given another.
    const { events } = deviceDecider.decide(this.state, command('StartKeyRotation', { ifDue: true }), this.now);
    const { decommissioned, keyKnownToOthers, rotatingTo } = this.ledger;
    expect(events.length === 1, 'a rotation is begun').toBe(keyKnownToOthers && rotatingTo === undefined && !decommissioned && this.state.protocol.level === 1);
    expect(this.state.unlocks.current?.unlockId).toBe(this.ledger.inFlight);
    const pending = [...this.deadlines.keys()].filter((key) => key.startsWith('unlock:'));
    expect(pending, 'an unlock under way ends by itself').toEqual(this.ledger.inFlight === undefined ? [] : [`unlock:${this.ledger.inFlight}`]);
  }
}

/** A box that is registered, claimed, shared and in touch, so that most runs get somewhere. */
const prologue: readonly Action[] = [
  { do: 'register' },
  { do: 'claim', user: 0 },
  { do: 'share', user: 0, maxUses: 2, hours: 1 },
  { do: 'sync', ms: 0 },
  { do: 'report' },
  { do: 'uplink', which: 0, keep: false, fate: 0 },
];

/** Runs the world, and says how often each event was reached: a model that never gets anywhere proves nothing. */
function explore(level: 0 | 1, numRuns: number): ReadonlyMap<string, number> {
  const reached = new Map<string, number>();
  fc.assert(
    fc.property(fc.nat({ max: 9 }), fc.array(actions, { minLength: 1, maxLength: 80, size: 'max' }), (cold, steps) => {
      const world = new World(level);
      if (cold > 0) for (const step of prologue) world.run(step);
      for (const step of steps) world.run(step);
      const refolded = world.log.reduce((state, [event, at]) => deviceDecider.evolve(state, event, at), deviceDecider.initialState);
      expect(refolded).toEqual(world.state);
      expect(JSON.parse(JSON.stringify(refolded))).toEqual(refolded);
      for (const [{ type }] of world.log) reached.set(type, (reached.get(type) ?? 0) + 1);
    }),
    { numRuns },
  );
  return reached;
}

const ends = ['UnlockConfirmed', 'UnlockFailed', 'UnlockOutcomeUnknown', 'UnlockCancelled', 'UnlockExpired', 'LinkExpired', 'OwnerSuspended'] as const;

describe('a box, its people, its network and its clock, in any order', () => {
  it('never do what must never happen', () => {
    const reached = explore(1, 1_000);
    for (const type of [...ends, 'UnlockSettled']) expect(reached.get(type) ?? 0, type).toBeGreaterThan(0);
  }, 60_000);

  it('a clock that steps back does not undo a proof, though the box restarts', () => {
    const world = new World(1);
    const script: readonly Action[] = [
      ...prologue,
      { do: 'request', by: 'link', which: 0 },
      { do: 'dispatch', published: true },
      { do: 'silence', which: 0, fresh: true },
      { do: 'step', ms: -20_000 },
      { do: 'reboot' },
      { do: 'sync', ms: 0 },
      { do: 'downlink', which: 0, keep: false, fate: 0 },
    ];
    for (const step of script) world.run(step);
    expect(world.ledger.returned.size).toBe(1);
    expect(world.box.moved.size).toBe(0);
  });

  it('nor does a status that was on its way since before the box was told the time again', () => {
    const world = new World(1);
    const script: readonly Action[] = [
      ...prologue,
      { do: 'pass', ms: 82_000 },
      { do: 'report' },
      { do: 'step', ms: -80_000 },
      { do: 'sync', ms: 0 },
      { do: 'tap', by: 'link', which: 0, fate: 0, answers: 0 },
      { do: 'silence', which: 0, fresh: false },
    ];
    for (const step of script) world.run(step);
    expect(world.box.moved.size).toBe(0);
  });

  it('neither do they with old firmware, whose word gives nothing back', () => {
    const reached = explore(0, 500);
    for (const type of ends) expect(reached.get(type) ?? 0, type).toBeGreaterThan(0);
  }, 60_000);
});
