import type { Permission } from '../../src/api/permissions.ts';
import type { Cast, Things } from './cast.ts';

/**
 * Who may do what, written down a second time and apart from the program: what the table of routes declares is held against
 * this, and so is every answer. A route that is not here fails the test.
 */
export interface Rule {
  /** `anyone`, whoever has the link (`link`), any account (`account`), the box itself (`box`), or a right. */
  readonly who: 'anyone' | 'link' | 'account' | 'box' | Permission;
  /** Whose thing a path, a query or a body names. Absent: it names none, or what it names belongs to nobody. */
  readonly names?: keyof Things;
  /** To an account: an account of this right sees everybody's. */
  readonly unless?: Permission;
  /** What somebody who may is answered. Default: the first of the replies that the route declares. */
  readonly answers?: number;
  /** It changes what it names, so each that may gets things of their own. */
  readonly spends?: 'things' | 'session';
  readonly query?: (things: Things, cast: Cast) => Readonly<Record<string, string>>;
  readonly body?: (things: Things, cast: Cast) => unknown;
  readonly csv?: string;
  /** What nobody else's thing looks like where that is no 404: a list that is empty, a status that tells nothing. */
  readonly othersAs?: (body: unknown) => boolean;
}

const emptyList = (body: unknown): boolean => Array.isArray(body) && body.length === 0;
const number = () => `AM-${crypto.randomUUID().slice(0, 13)}`;
const address = () => `${crypto.randomUUID()}@example.com`;

/** By the id of the route. */
export const rules: Readonly<Record<string, Rule>> = {
  register: { who: 'anyone', body: () => ({ email: address(), password: 'correct horse battery', full_name: 'Ana', state: 'Izmir' }) },
  login: { who: 'anyone', body: (_things, { credentials }) => credentials },
  adminLogin: { who: 'anyone', body: (_things, { adminCredentials }) => adminCredentials },
  refresh: { who: 'anyone', answers: 401, body: () => ({ refresh_token: 'nobody has this one' }) },
  health: { who: 'anyone' },
  live: { who: 'anyone' },
  ready: { who: 'anyone' },
  version: { who: 'anyone' },
  metrics: { who: 'anyone' },

  logout: { who: 'account', spends: 'session' },
  me: { who: 'account' },
  profile: { who: 'account' },
  changeProfile: { who: 'account', body: () => ({ zip_code: '35' }) },
  // Who does not know the old one is told so with 403: it is not the account that is refused.
  changePassword: { who: 'account', answers: 403, body: () => ({ old_password: 'not this one', new_password: 'another horse battery' }) },
  sessions: { who: 'account' },
  endSession: { who: 'account', names: 'session', spends: 'things' },
  exportMe: { who: 'account' },
  previewErasure: { who: 'account' },
  // Not confirmed with the address of the account.
  eraseMe: { who: 'account', answers: 400, body: () => ({ password: 'not this one', confirm: 'nobody@example.com' }) },
  // Whoever has its id was given it: there is none of this one.
  erasure: { who: 'anyone', answers: 404 },
  notifications: { who: 'account' },
  readNotification: { who: 'account', names: 'notification' },
  readAllNotifications: { who: 'account' },
  notificationSettings: { who: 'account' },
  changeNotificationSettings: { who: 'account', body: () => ({ language: 'en' }) },

  myDevices: { who: 'account' },
  assignDevice: { who: 'account', body: (_things, { unclaimed }) => unclaimed() },
  getDevice: { who: 'account', names: 'device' },
  changeDevice: { who: 'account', names: 'device', body: () => ({ name: 'Front door' }) },
  unlinkDevice: { who: 'account', names: 'device', spends: 'things' },
  requestUnlink: { who: 'account', names: 'device' },
  deviceStatus: { who: 'account', names: 'device' },
  // Boxes made for one try are switched off.
  unlockDevice: { who: 'account', names: 'device', spends: 'things', answers: 409 },
  lockDevice: { who: 'account', names: 'device', answers: 422 },
  deviceSettings: { who: 'account', names: 'device' },
  changeDeviceSettings: { who: 'account', names: 'device', body: () => ({ silent_mode: true }) },
  activities: { who: 'account', names: 'device', query: ({ device }) => ({ device_id: device }), othersAs: emptyList },
  deviceActivity: { who: 'account', names: 'device' },
  deviceHealth: { who: 'account', names: 'device' },
  deviceBattery: { who: 'account', names: 'device' },

  myLinks: { who: 'account', names: 'device', query: ({ device }) => ({ device_id: device }), othersAs: emptyList },
  linksOfDevice: { who: 'account', names: 'device' },
  createLink: { who: 'account', names: 'device', body: ({ device }) => ({ device_id: device }) },
  getLink: { who: 'account', names: 'link' },
  updateLink: { who: 'account', names: 'link', body: () => ({ max_uses: 5 }) },
  deleteLink: { who: 'account', names: 'link', spends: 'things' },
  deactivateLink: { who: 'account', names: 'link', spends: 'things' },
  linkImage: { who: 'account', names: 'link' },
  myDeliveries: { who: 'account', names: 'device', query: ({ device }) => ({ device_id: device }), othersAs: emptyList },
  getDelivery: { who: 'account', names: 'delivery' },
  getCommand: { who: 'account', names: 'delivery', unless: 'devices:read' },

  linkInfo: { who: 'link', names: 'token' },
  linkUnlock: { who: 'link', names: 'token', spends: 'things', answers: 409 },
  // The opening of somebody else's link is as one that there is not.
  linkStatus: { who: 'link', names: 'token' },

  reportStatus: { who: 'box', names: 'device', body: () => ({}) },
  reportHeartbeat: { who: 'box', names: 'device', body: () => ({}) },
  reportBattery: { who: 'box', names: 'device', body: () => ({}) },
  reportResponse: { who: 'box', names: 'device', body: () => ({}) },
  deviceCommands: { who: 'box', names: 'device', query: () => ({ wait: '0' }) },
  acknowledgeCommand: { who: 'box', names: 'device', answers: 404 },

  adminDevices: { who: 'devices:read' },
  adminDevice: { who: 'devices:read', names: 'device' },
  rejectedOfDevice: { who: 'devices:read', names: 'device' },
  rejectedOfStrangers: { who: 'devices:read' },
  checkDevice: { who: 'devices:read', names: 'device' },
  registerDevice: { who: 'devices:register', body: () => ({ serial_number: number() }) },
  importDevices: { who: 'devices:register', query: () => ({ dry_run: 'true' }), csv: 'serial_number\nAM-IMPORT-1\n' },
  regeneratePin: { who: 'devices:pin', names: 'device', spends: 'things' },
  rotateKeys: { who: 'devices:keys', names: 'device', answers: 422, spends: 'things' },
  reprovisionDevice: { who: 'devices:keys', names: 'device', spends: 'things', body: () => ({ reason: 'lost' }) },
  adminUnlink: { who: 'devices:unlink', names: 'device', spends: 'things' },
  emergencyUnlock: { who: 'devices:unlock', names: 'device', spends: 'things', answers: 409 },
  acceptDeliveries: { who: 'devices:lifecycle', names: 'device', body: () => ({ reason: 'a trusted street' }) },
  startMaintenance: { who: 'devices:lifecycle', names: 'device', spends: 'things' },
  endMaintenance: { who: 'devices:lifecycle', names: 'device', spends: 'things' },
  decommission: { who: 'devices:lifecycle', names: 'device', spends: 'things' },

  adminUsers: { who: 'users:read' },
  adminUser: { who: 'users:read', names: 'user' },
  suspendUser: { who: 'users:suspend', names: 'user', spends: 'things' },
  activateUser: { who: 'users:suspend', names: 'user', spends: 'things' },
  exportUser: { who: 'users:export', names: 'user' },
  previewUserErasure: { who: 'users:erase', names: 'user' },
  eraseUser: { who: 'users:erase', names: 'user', answers: 400, body: () => ({ confirm: 'nobody@example.com', ground: 'requested' }) },
  admins: { who: 'admins:manage' },
  adminRoles: { who: 'admins:manage' },
  // Of an account that administers nothing there is no such page.
  admin: { who: 'admins:manage', names: 'user', answers: 404 },
  createAdmin: { who: 'admins:manage', body: () => ({ email: address(), role: 'support' }) },
  changeAdmin: { who: 'admins:manage', names: 'user', spends: 'things', body: () => ({ role: 'support' }) },
  revokeAdmin: { who: 'admins:manage', names: 'user', spends: 'things' },

  auditLog: { who: 'audit:read' },
  exportAuditLog: { who: 'audit:read', query: () => ({ format: 'ndjson', action: 'nobody_does_this' }) },
  // Of an event that there is not.
  auditEntry: { who: 'audit:read', answers: 404 },
  unlockTrace: { who: 'audit:read', names: 'delivery' },
  deviceThen: { who: 'audit:read', names: 'device' },
  deviceDifference: { who: 'audit:read', names: 'device', query: () => ({ from: '2026-01-01T00:00:00Z' }) },
  whyDevice: { who: 'audit:read', names: 'device' },
  linkThen: { who: 'audit:read', names: 'link' },
  linkDifference: { who: 'audit:read', names: 'link', query: () => ({ from: '2026-01-01T00:00:00Z' }) },
  whyLink: { who: 'audit:read', names: 'link' },
  userThen: { who: 'audit:read', names: 'user' },
  userDifference: { who: 'audit:read', names: 'user', query: () => ({ from: '2026-01-01T00:00:00Z' }) },
  deliveryThen: { who: 'audit:read', names: 'delivery' },
  deliveryDifference: { who: 'audit:read', names: 'delivery', query: () => ({ from: '2026-01-01T00:00:00Z' }) },
  whyUnlock: { who: 'audit:read', names: 'delivery' },
  // Nothing is refused at the log's first position.
  whyRefused: { who: 'audit:read', answers: 404 },
  refusalTrace: { who: 'audit:read', answers: 404 },
  proofHeads: { who: 'audit:read' },
  proofKeys: { who: 'audit:read' },
  // Nothing is signed yet.
  proofOfEvent: { who: 'audit:read', answers: 404 },
  proofOfConsistency: { who: 'audit:read', answers: 404, query: () => ({ from: '1' }) },
  deliveryAnalytics: { who: 'analytics:read' },
  adminJobs: { who: 'system:read' },
  runJob: { who: 'jobs:run' },
  adminProjections: { who: 'system:read' },
  // Of a name that no read model has.
  adminProjection: { who: 'system:read', answers: 404 },
  rebuildProjection: { who: 'projections:manage', answers: 404 },
  compareProjection: { who: 'projections:manage', answers: 404 },
  switchProjection: { who: 'projections:manage', answers: 404 },
  rollbackProjection: { who: 'projections:manage', answers: 404 },
  cancelProjectionRun: { who: 'projections:manage', answers: 404 },
  skipProjectionEvent: { who: 'projections:manage', answers: 404, body: () => ({ position: '1', reason: 'nobody stands there' }) },
  dashboard: { who: 'system:read' },
  systemHealth: { who: 'system:read' },
};

const ofSupport: readonly Permission[] = ['devices:read', 'devices:unlink', 'users:read', 'audit:read', 'analytics:read', 'system:read'];
const ofAdmin: readonly Permission[] = [
  ...ofSupport, 'devices:register', 'devices:pin', 'devices:keys', 'devices:unlock', 'devices:lifecycle', 'users:suspend', 'jobs:run', 'projections:manage', 'users:export',
];

/** What each role may, written down a second time as well. */
export const rights = { super_admin: [...ofAdmin, 'users:erase', 'admins:manage'], admin: ofAdmin, support: ofSupport } as const satisfies Record<string, readonly Permission[]>;
