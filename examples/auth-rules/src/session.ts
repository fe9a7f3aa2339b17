import { useCallback, useMemo, useState } from "react";

const TOKENS = import.meta.env.VITE_TOKEN_URL ?? "/token";

/** What `ConvexProviderWithAuth` asks for: whether somebody is signed in, and fresh tokens. */
export function useSession() {
  const [subject, setSubject] = useState(() => sessionStorage.getItem("subject"));

  const fetchAccessToken = useCallback(async () => {
    if (subject === null) return null;
    const answer = await fetch(`${TOKENS}?subject=${encodeURIComponent(subject)}`);
    return answer.ok ? answer.text() : null;
  }, [subject]);

  return useMemo(
    () => ({ isLoading: false, isAuthenticated: subject !== null, fetchAccessToken, setSubject: change }),
    [subject, fetchAccessToken],
  );

  function change(next: string | null) {
    if (next === null) sessionStorage.removeItem("subject");
    else sessionStorage.setItem("subject", next);
    setSubject(next);
  }
}
