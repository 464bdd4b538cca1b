import type { DomainEvent } from '../domain/events.ts';
import type { Refusal } from '../domain/kernel.ts';
import { deviceAggregate, userAggregate, type Aggregate } from '../domain/registry.ts';
import type { AnyCommand } from './port.ts';

/** Where a command is decided. */
export interface CommandRoute {
  readonly aggregate: Aggregate;
  readonly stream: string;
  /** True where a repeat must answer with what the first one made, however long ago. */
  readonly creates: boolean;
}

type CommandType = AnyCommand['type'];

interface Row {
  readonly aggregate: 'device' | 'user';
  readonly creates?: true;
}

/** One row per command. The compiler misses none: a new command without its row is an error here. */
const rows: { readonly [T in CommandType]: Row } = {
  RegisterDevice: { aggregate: 'device', creates: true },
  RegeneratePin: { aggregate: 'device', creates: true },
  ViewPin: { aggregate: 'device' },
  StartMaintenance: { aggregate: 'device' },
  EndMaintenance: { aggregate: 'device' },
  DecommissionDevice: { aggregate: 'device' },
  AssignDevice: { aggregate: 'device', creates: true },
  RenameDevice: { aggregate: 'device' },
  ChangeDeviceLocation: { aggregate: 'device' },
  RequestUnlink: { aggregate: 'device' },
  UnlinkDevice: { aggregate: 'device' },
  SuspendOwner: { aggregate: 'device' },
  ActivateOwner: { aggregate: 'device' },
  ChangeSettings: { aggregate: 'device' },
  ReportSettingsVersion: { aggregate: 'device' },
  StartKeyRotation: { aggregate: 'device' },
  CompleteKeyRotation: { aggregate: 'device' },
  PinProtocol: { aggregate: 'device' },
  UnpinProtocol: { aggregate: 'device' },
  AcceptLevel0Deliveries: { aggregate: 'device' },
  CreateLink: { aggregate: 'device', creates: true },
  UpdateLink: { aggregate: 'device' },
  RevokeLink: { aggregate: 'device' },
  DeleteLink: { aggregate: 'device' },
  ExpireLink: { aggregate: 'device' },
  RequestUnlock: { aggregate: 'device', creates: true },
  DispatchUnlock: { aggregate: 'device' },
  CancelUnlock: { aggregate: 'device' },
  RecordUnlockPublished: { aggregate: 'device' },
  RecordUnlockAnswer: { aggregate: 'device' },
  ExpireUnlock: { aggregate: 'device' },
  SettleUnlocks: { aggregate: 'device' },
  CloseUnknownUnlock: { aggregate: 'device' },
  RecordReport: { aggregate: 'device' },
  RecordOffline: { aggregate: 'device' },
  RecordCloneSuspicion: { aggregate: 'device' },
  RegisterUser: { aggregate: 'user', creates: true },
  ChangeProfile: { aggregate: 'user' },
  VerifyEmail: { aggregate: 'user' },
  ChangePassword: { aggregate: 'user', creates: true },
  LogIn: { aggregate: 'user', creates: true },
  EndSession: { aggregate: 'user' },
  RecordRefreshTokenReuse: { aggregate: 'user' },
  SuspendUser: { aggregate: 'user' },
  ActivateUser: { aggregate: 'user' },
  GrantAdminRole: { aggregate: 'user' },
  RevokeAdminRole: { aggregate: 'user' },
  StartAuditExport: { aggregate: 'user' },
  StartPersonalDataExport: { aggregate: 'user' },
  EraseSubject: { aggregate: 'user' },
};

export function routeOf(command: AnyCommand): CommandRoute {
  const { aggregate, creates = false } = rows[command.type];
  if (aggregate === 'device') {
    const { deviceId } = command.data as { deviceId: string };
    return { aggregate: deviceAggregate, stream: deviceAggregate.streamOf(deviceId), creates };
  }
  return { aggregate: userAggregate, stream: userAggregate.streamOf((command.data as { userId: string }).userId), creates };
}

/** A refusal that counted is known by the event it left: its repeat is refused too. Undefined: these were no refusal. */
export function countedRefusal(events: readonly DomainEvent[]): Refusal | undefined {
  for (const event of events) {
    if (event.type === 'DevicePinRefused') return { code: 'pin_invalid' };
    if (event.type === 'LoginRefused') return { code: loginRefusals[event.data.reason] };
  }
  return undefined;
}

const loginRefusals = { password: 'credentials_invalid', suspended: 'user_suspended', role: 'role_missing' } as const;
