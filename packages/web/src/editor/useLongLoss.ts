import { useEffect, useState } from 'react';

/** A connection that is gone for longer than this is called offline; before, it is being mended. */
const LONG_MS = 3_000;

/** Whether the connection has been lost for long, over all attempts to get it back. */
export function useLongLoss(isLost: boolean): boolean {
  const [isLong, setLong] = useState(false);
  useEffect(() => {
    if (!isLost) return;
    const timer = setTimeout(() => setLong(true), LONG_MS);
    return () => {
      clearTimeout(timer);
      setLong(false);
    };
  }, [isLost]);
  return isLong;
}
