/** The commit that is run: FUSED_OPTIM_COMMIT, a packed tree's word, or git's; null where nobody knows. */
export function commit(): string | null;
