// Goes through the steps of the interoperability tests with grpc-java, and prints an object of JSON for each (../client.ts).
import static io.grpc.Metadata.ASCII_STRING_MARSHALLER;
import static java.util.concurrent.TimeUnit.MILLISECONDS;

import com.google.protobuf.Any;
import io.grpc.Grpc;
import io.grpc.InsecureChannelCredentials;
import io.grpc.ManagedChannel;
import io.grpc.Metadata;
import io.grpc.StatusRuntimeException;
import io.grpc.TlsChannelCredentials;
import io.grpc.protobuf.StatusProto;
import io.grpc.stub.MetadataUtils;
import java.io.File;
import java.net.URI;
import java.util.List;
import java.util.concurrent.atomic.AtomicReference;
import java.util.stream.Collectors;
import portcullis.zitadel.management.v1.AddSecondFactorToLoginPolicyRequest;
import portcullis.zitadel.management.v1.GetLoginPolicyRequest;
import portcullis.zitadel.management.v1.ListLoginPolicySecondFactorsRequest;
import portcullis.zitadel.management.v1.ManagementServiceGrpc;
import portcullis.zitadel.management.v1.ManagementServiceGrpc.ManagementServiceBlockingStub;
import portcullis.zitadel.management.v1.RemoveSecondFactorFromLoginPolicyRequest;
import portcullis.zitadel.policy.v1.SecondFactorType;
import portcullis.zitadel.v1.ErrorDetail;

class Interop {
  static final ListLoginPolicySecondFactorsRequest list = ListLoginPolicySecondFactorsRequest.getDefaultInstance();
  static final SecondFactorType sms = SecondFactorType.SECOND_FACTOR_TYPE_OTP_SMS;

  public static void main(String[] args) throws Exception {
    var token = System.getenv("PORTCULLIS_TOKEN");
    var channel = open(System.getenv("PORTCULLIS_URL"));
    var responseHeaders = new AtomicReference<Metadata>();
    var home = service(channel, token, null).withInterceptors(
        MetadataUtils.newCaptureMetadataInterceptor(responseHeaders, new AtomicReference<>()));
    var add = AddSecondFactorToLoginPolicyRequest.newBuilder().setType(sms).build();

    print("list", "result", names(home.listLoginPolicySecondFactors(list).getResultList()));

    home.addSecondFactorToLoginPolicy(add);
    print("add", "ok", "true", "policyHeader", quoted(responseHeaders.get().get(key("portcullis-policy"))));

    refused("add again", () -> home.addSecondFactorToLoginPolicy(add));

    home.removeSecondFactorFromLoginPolicy(RemoveSecondFactorFromLoginPolicyRequest.newBuilder().setType(sms).build());
    print("remove", "ok", "true");

    var policy = home.getLoginPolicy(GetLoginPolicyRequest.getDefaultInstance()).getPolicy();
    print("get policy", "isDefault", "" + policy.getIsDefault(), "secondFactors", names(policy.getSecondFactorsList()));

    refused("wrong token", () -> service(channel, "wrong", null).listLoginPolicySecondFactors(list));

    var other = service(channel, token, System.getenv("PORTCULLIS_OTHER_ORGANIZATION"));
    print("other organization", "result", names(other.listLoginPolicySecondFactors(list).getResultList()));

    var slow = open(System.getenv("PORTCULLIS_SLOW_URL"));
    refused("deadline", () -> service(slow, token, null).withDeadlineAfter(300, MILLISECONDS).listLoginPolicySecondFactors(list));
    slow.shutdownNow();

    // What is compressed is asked for here; answers that are compressed are always taken.
    var zipped = home.withCompression("gzip").listLoginPolicySecondFactors(list);
    print("gzip", "ok", "true", "result", names(zipped.getResultList()));
    channel.shutdownNow();
  }

  static ManagedChannel open(String address) throws Exception {
    var url = URI.create(address);
    var credentials = url.getScheme().equals("https")
        ? TlsChannelCredentials.newBuilder().trustManager(new File(System.getenv("PORTCULLIS_CA"))).build()
        : InsecureChannelCredentials.create();
    return Grpc.newChannelBuilder(url.getAuthority(), credentials).build();
  }

  static ManagementServiceBlockingStub service(ManagedChannel channel, String token, String organization) {
    var headers = new Metadata();
    headers.put(key("authorization"), "Bearer " + token);
    if (organization != null) headers.put(key("x-zitadel-orgid"), organization);
    return ManagementServiceGrpc.newBlockingStub(channel).withInterceptors(MetadataUtils.newAttachHeadersInterceptor(headers));
  }

  static Metadata.Key<String> key(String name) {
    return Metadata.Key.of(name, ASCII_STRING_MARSHALLER);
  }

  static void refused(String step, Runnable call) throws Exception {
    try {
      call.run();
      System.err.println(step + ": it was not refused");
    } catch (StatusRuntimeException error) {
      var status = error.getStatus();
      print(step, "code", "" + status.getCode().value(), "message", quoted(status.getDescription()), "id", quoted(errorId(error)));
    }
  }

  static String errorId(StatusRuntimeException error) throws Exception {
    for (Any detail : StatusProto.fromThrowable(error).getDetailsList()) {
      if (detail.is(ErrorDetail.class)) return detail.unpack(ErrorDetail.class).getId();
    }
    return null;
  }

  static String names(List<SecondFactorType> factors) {
    return factors.stream().map(factor -> quoted(factor.name())).collect(Collectors.joining(",", "[", "]"));
  }

  /** One line of JSON: names and values in turn, values as JSON. */
  static void print(String step, String... members) {
    var line = new StringBuilder("{\"step\":" + quoted(step));
    for (int i = 0; i < members.length; i += 2) line.append("," + quoted(members[i]) + ":" + members[i + 1]);
    System.out.println(line + "}");
  }

  static String quoted(String text) {
    if (text == null) return "null";
    return "\"" + text.replace("\\", "\\\\").replace("\"", "\\\"").replaceAll("\\p{Cntrl}", " ") + "\"";
  }
}
