import { notifications } from '@mantine/notifications';
import { describe } from '../api/error';

/** Tells that something could not be done, and why. */
export function notifyFailure(title: string, error: unknown): void {
  notifications.show({ color: 'red', title, message: describe(error) });
}
