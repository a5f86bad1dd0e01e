<?php
// Goes through the steps of the interoperability tests with PHP's curl, and prints an object of JSON for each (../client.ts).
declare(strict_types=1);

const POLICY = '/management/v1/policies/login';
const SECOND_FACTORS = POLICY . '/second_factors';
const SMS = 'SECOND_FACTOR_TYPE_OTP_SMS';

$curl = curl_init();

/** The status, the headers with names in lower case, and the body. Throws with curl's number where there is no answer. */
function call(string $method, string $path, ?string $body = null, array $headers = [], array $options = []): array
{
    global $curl;
    $isTls = str_ends_with(getenv('PORTCULLIS_TRANSPORT'), ', TLS');
    $isHttp2 = str_contains(getenv('PORTCULLIS_TRANSPORT'), 'HTTP/2');
    $answered = [];
    $headers += ['Authorization' => 'Bearer ' . getenv('PORTCULLIS_TOKEN'), 'Content-Type' => 'application/json'];
    curl_reset($curl); // the connection stays
    curl_setopt_array($curl, $options + [
        CURLOPT_URL => getenv('PORTCULLIS_URL') . $path,
        CURLOPT_CUSTOMREQUEST => $method,
        CURLOPT_HTTPHEADER => array_map(fn ($name, $value) => "$name: $value", array_keys($headers), $headers),
        CURLOPT_HEADERFUNCTION => function ($curl, string $line) use (&$answered): int {
            [$name, $value] = explode(':', $line, 2) + [1 => ''];
            $answered[strtolower($name)] = trim($value);
            return strlen($line);
        },
        CURLOPT_HTTP_VERSION => match (true) {
            !$isHttp2 => CURL_HTTP_VERSION_1_1,
            $isTls => CURL_HTTP_VERSION_2TLS,
            default => CURL_HTTP_VERSION_2_PRIOR_KNOWLEDGE,
        },
        CURLOPT_PROXY => '', // whatever the environment says
        CURLOPT_RETURNTRANSFER => true,
        // libcurl 7.88, which Debian 12 has, cannot use such a connection twice (curl/curl#10634).
        CURLOPT_FORBID_REUSE => $isHttp2 && !$isTls && curl_version()['version_number'] < 0x080000,
    ]);
    if ($body !== null) curl_setopt($curl, CURLOPT_POSTFIELDS, $body);
    if ($isTls) curl_setopt($curl, CURLOPT_CAINFO, getenv('PORTCULLIS_CA'));
    $answer = curl_exec($curl);
    if ($answer === false) throw new RuntimeException(curl_error($curl), curl_errno($curl));
    $version = curl_getinfo($curl, CURLINFO_HTTP_VERSION);
    if ($version !== ($isHttp2 ? CURL_HTTP_VERSION_2_0 : CURL_HTTP_VERSION_1_1)) {
        throw new RuntimeException("it went over HTTP version $version");
    }
    return [curl_getinfo($curl, CURLINFO_RESPONSE_CODE), $answered, json_decode($answer, true, flags: JSON_THROW_ON_ERROR)];
}

function succeeded(array $response): array
{
    [$status, , $body] = $response;
    if ($status !== 200) throw new RuntimeException("HTTP $status: {$body['message']}");
    return $body;
}

function refusal(array $response): array
{
    [, , $error] = $response;
    $id = null;
    foreach ($error['details'] as $detail) {
        if ($detail['@type'] === 'type.googleapis.com/zitadel.v1.ErrorDetail') $id ??= $detail['id'];
    }
    return ['code' => $error['code'], 'message' => $error['message'], 'id' => $id];
}

function tell(string $step, array $result): void
{
    echo json_encode(['step' => $step] + $result, JSON_UNESCAPED_SLASHES | JSON_THROW_ON_ERROR), "\n";
}

function listed(array $headers = [], array $options = []): array
{
    return call('POST', SECOND_FACTORS . '/_search', '{}', $headers, $options);
}

$add = fn () => call('POST', SECOND_FACTORS, json_encode(['type' => SMS]));

tell('list', ['result' => succeeded(listed())['result']]);

$response = $add();
succeeded($response);
tell('add', ['ok' => true, 'policyHeader' => $response[1]['portcullis-policy'] ?? null]);

tell('add again', refusal($add()));

succeeded(call('DELETE', SECOND_FACTORS . '/' . SMS));
tell('remove', ['ok' => true]);

$policy = succeeded(call('GET', POLICY))['policy'];
tell('get policy', ['isDefault' => $policy['isDefault'], 'secondFactors' => $policy['secondFactors']]);

tell('wrong token', refusal(listed(headers: ['Authorization' => 'Bearer wrong'])));

$other = listed(headers: ['x-zitadel-orgid' => getenv('PORTCULLIS_OTHER_ORGANIZATION')]);
tell('other organization', ['result' => succeeded($other)['result']]);

try {
    listed(options: [CURLOPT_URL => getenv('PORTCULLIS_SLOW_URL') . SECOND_FACTORS . '/_search', CURLOPT_TIMEOUT_MS => 300]);
    tell('deadline', ['code' => 0]);
} catch (RuntimeException $error) {
    if ($error->getCode() !== CURLE_OPERATION_TIMEDOUT) throw $error;
    tell('deadline', ['code' => 4]);
}

// The body of a list is not read by the server. This one is, right where it is refused so.
$zipped = gzencode(json_encode(['type' => 'SECOND_FACTOR_TYPE_OTP']));
$refused = refusal(call('POST', SECOND_FACTORS, $zipped, ['Content-Encoding' => 'gzip']));
// CURLOPT_ENCODING sends Accept-Encoding, and decodes the answer.
$listed = listed(options: [CURLOPT_ENCODING => 'gzip']);
tell('gzip', ['ok' => $refused['code'] === 6, 'result' => succeeded($listed)['result']]);
