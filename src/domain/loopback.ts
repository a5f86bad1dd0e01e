/** Whether a host name or address, with or without the brackets of IPv6, stands for this machine. */
export const isLoopback = (host: string): boolean => /^(localhost|127(\.\d{1,3}){3}|\[?::1\]?)$/.test(host);
