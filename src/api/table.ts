import type { Route } from './route.ts';
import { adminAdminRoutes } from './routes/admin-admins.ts';
import { adminAnalyticsRoutes } from './routes/admin-analytics.ts';
import { adminAuditRoutes } from './routes/admin-audit.ts';
import { adminDeviceRoutes } from './routes/admin-devices.ts';
import { adminHistoryRoutes } from './routes/admin-history.ts';
import { adminJobRoutes } from './routes/admin-jobs.ts';
import { adminKeyRoutes } from './routes/admin-keys.ts';
import { adminProjectionRoutes } from './routes/admin-projections.ts';
import { adminProofRoutes } from './routes/admin-proof.ts';
import { adminTraceRoutes } from './routes/admin-trace.ts';
import { adminUserRoutes } from './routes/admin-users.ts';
import { adminWhyRoutes } from './routes/admin-why.ts';
import { authRoutes } from './routes/auth.ts';
import { commandRoutes } from './routes/commands.ts';
import { deliveryRoutes } from './routes/deliveries.ts';
import { publicDeliveryRoutes } from './routes/delivery.ts';
import { deviceAdapterRoutes } from './routes/device-adapter.ts';
import { deviceSettingsRoutes } from './routes/device-settings.ts';
import { deviceRoutes } from './routes/devices.ts';
import { erasureRoutes } from './routes/erasure.ts';
import { linkRoutes } from './routes/links.ts';
import { monitoringRoutes } from './routes/monitoring.ts';
import { notificationRoutes } from './routes/notifications.ts';
import { systemRoutes } from './routes/system.ts';

/** Everything that the API answers. What is not here does not exist. */
export const routeTable: readonly Route[] = [
  ...authRoutes,
  ...deviceRoutes,
  ...deviceSettingsRoutes,
  ...monitoringRoutes,
  ...linkRoutes,
  ...deliveryRoutes,
  ...publicDeliveryRoutes,
  ...commandRoutes,
  ...notificationRoutes,
  ...deviceAdapterRoutes,
  ...adminDeviceRoutes,
  ...adminKeyRoutes,
  ...adminUserRoutes,
  ...erasureRoutes,
  ...adminAdminRoutes,
  ...adminAuditRoutes,
  ...adminHistoryRoutes,
  ...adminWhyRoutes,
  ...adminTraceRoutes,
  ...adminProofRoutes,
  ...adminAnalyticsRoutes,
  ...adminJobRoutes,
  ...adminProjectionRoutes,
  ...systemRoutes,
];
