import { createCodec, userSubject, type EventForm } from '../codec.ts';
import type { UserEvent } from './events.ts';
import type { UserState } from './state.ts';

const v1: EventForm<UserState, UserEvent> = { version: 1 };

const self = (state: UserState): string => {
  if (state.kind === 'unregistered') throw new Error('A profile of a user who is not registered');
  return userSubject(state.userId);
};

export const userCodec = createCodec<UserState, UserEvent>({
  UserRegistered: { version: 1, sealed: { profile: (_, { data }) => userSubject(data.userId) } },
  ProfileChanged: { version: 1, sealed: { profile: self } },
  EmailVerified: v1,
  PasswordChanged: v1,
  LoginSucceeded: v1,
  LoginRefused: v1,
  SessionEnded: v1,
  RefreshTokenReused: v1,
  UserSuspended: { version: 2, upcasts: [(data) => data], sealed: { reason: self } },
  UserActivated: v1,
  AdminRoleGranted: v1,
  AdminRoleRevoked: v1,
  AuditExportStarted: v1,
  PersonalDataExportStarted: v1,
  SubjectErased: v1,
});
