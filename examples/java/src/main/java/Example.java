// gRPC with grpc-java: adds a second factor to the organization of the token's user, and lists all factors.
//
//   npm run proto:export
//   cd examples/java && mvn -q compile
//   PORTCULLIS_TOKEN="$(cat ../../data/admin.token)" java -cp 'target/classes:target/lib/*' Example
import static io.grpc.Metadata.ASCII_STRING_MARSHALLER;

import com.google.protobuf.Any;
import com.google.protobuf.InvalidProtocolBufferException;
import io.grpc.Grpc;
import io.grpc.InsecureChannelCredentials;
import io.grpc.Metadata;
import io.grpc.StatusRuntimeException;
import io.grpc.TlsChannelCredentials;
import io.grpc.protobuf.StatusProto;
import io.grpc.stub.MetadataUtils;
import java.net.URI;
import java.util.Optional;
import portcullis.zitadel.management.v1.AddSecondFactorToLoginPolicyRequest;
import portcullis.zitadel.management.v1.ListLoginPolicySecondFactorsRequest;
import portcullis.zitadel.management.v1.ManagementServiceGrpc;
import portcullis.zitadel.policy.v1.SecondFactorType;
import portcullis.zitadel.v1.ErrorDetail;

class Example {
  public static void main(String[] args) throws InvalidProtocolBufferException {
    var url = URI.create(Optional.ofNullable(System.getenv("PORTCULLIS_URL")).orElse("http://127.0.0.1:8080"));
    var token = System.getenv("PORTCULLIS_TOKEN");
    if (token == null) throw new IllegalStateException("set PORTCULLIS_TOKEN, for example to what is in data/admin.token");

    var isTls = url.getScheme().equals("https");
    var credentials = isTls ? TlsChannelCredentials.create() : InsecureChannelCredentials.create();
    var channel = Grpc.newChannelBuilder(url.getAuthority(), credentials).build();
    var headers = new Metadata();
    headers.put(Metadata.Key.of("authorization", ASCII_STRING_MARSHALLER), "Bearer " + token);
    var service = ManagementServiceGrpc.newBlockingStub(channel)
        .withInterceptors(MetadataUtils.newAttachHeadersInterceptor(headers));

    try {
      service.addSecondFactorToLoginPolicy(AddSecondFactorToLoginPolicyRequest.newBuilder()
          .setType(SecondFactorType.SECOND_FACTOR_TYPE_OTP_SMS).build());
      System.out.println("added");
    } catch (StatusRuntimeException error) {
      if (!errorId(error).equals("Org-2B0ps")) throw error;
      System.out.println("not added: it is there already (Org-2B0ps)");
    }
    var factors = service.listLoginPolicySecondFactors(ListLoginPolicySecondFactorsRequest.getDefaultInstance());
    System.out.println("second factors: " + String.join(", ", factors.getResultList().stream().map(Enum::name).toList()));
    channel.shutdown();
  }

  /** Returns the id in the ErrorDetail of a refused call. Compare the id, not the text. */
  static String errorId(StatusRuntimeException error) throws InvalidProtocolBufferException {
    for (Any detail : StatusProto.fromThrowable(error).getDetailsList()) {
      if (detail.is(ErrorDetail.class)) return detail.unpack(ErrorDetail.class).getId();
    }
    return "";
  }
}
