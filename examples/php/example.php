<?php
// JSON over HTTP with the curl extension: adds a second factor to the organization of the token's user, and lists all factors.
//
//   PORTCULLIS_TOKEN="$(cat data/admin.token)" php examples/php/example.php
declare(strict_types=1);

$url = getenv('PORTCULLIS_URL') ?: 'http://127.0.0.1:8080';
$token = getenv('PORTCULLIS_TOKEN');
if ($token === false) {
    fwrite(STDERR, "set PORTCULLIS_TOKEN, for example to what is in data/admin.token\n");
    exit(1);
}

// One handle keeps one connection. https:// trusts the authorities of the system; CURLOPT_CAINFO names another one.
$curl = curl_init();
$post = function (string $path, array $message) use ($curl, $url, $token): array {
    curl_setopt_array($curl, [
        CURLOPT_URL => "$url/management/v1/policies/login/second_factors$path",
        CURLOPT_HTTPHEADER => ["Authorization: Bearer $token", 'Content-Type: application/json'],
        CURLOPT_POSTFIELDS => json_encode((object) $message), // an empty array gives {}, not []
        CURLOPT_RETURNTRANSFER => true,
        CURLOPT_TIMEOUT_MS => 5000,
    ]);
    $body = curl_exec($curl) or throw new RuntimeException(curl_error($curl));
    return [curl_getinfo($curl, CURLINFO_RESPONSE_CODE), json_decode($body, true, flags: JSON_THROW_ON_ERROR)];
};

[$status, $answer] = $post('', ['type' => 'SECOND_FACTOR_TYPE_OTP_SMS']);
if ($status === 200) {
    echo "added\n";
} elseif (in_array('Org-2B0ps', array_column($answer['details'], 'id'), true)) {
    // Every error has this form. Compare the ids in `details`, not the texts.
    echo "not added: it is there already (Org-2B0ps)\n";
} else {
    throw new RuntimeException("{$answer['code']}: {$answer['message']}");
}

[$status, $answer] = $post('/_search', []);
if ($status !== 200) throw new RuntimeException("{$answer['code']}: {$answer['message']}");
echo 'second factors: ', implode(', ', $answer['result']), "\n";
