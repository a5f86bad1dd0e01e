/** What createManagementClient gives nobody a way to do. */
export const cannot = {
  deadline: "deadlines are a middleware of nice-grpc, which it does not bring",
  gzip: "it takes no options of the channel",
};
