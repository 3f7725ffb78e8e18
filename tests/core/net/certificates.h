// SPDX-License-Identifier: MIT
// Certificates for tests, made on the spot: an authority, and leaves that it signs.
#pragma once

#include <gtest/gtest.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <string>

#include "tests/core/store/temp_folder.h"

namespace relay {

class Authority {
 public:
  explicit Authority(const TempFolder& folder) : folder_(folder), key_(EVP_EC_gen("P-256")) {
    certificate_ = Make("Test Authority", "", key_, key_, nullptr, 3600);
    Save("ca.pem", certificate_);
  }
  ~Authority() {
    X509_free(certificate_);
    EVP_PKEY_free(key_);
  }
  Authority(const Authority&) = delete;
  Authority& operator=(const Authority&) = delete;
  std::string file() const { return folder_.File("ca.pem"); }

  struct Pair {
    std::string certificate;
    std::string key;
  };
  // `names` as OpenSSL writes them: "DNS:a.test,IP:127.0.0.1". Ends `seconds` from now.
  Pair Issue(const std::string& file, const std::string& names, long seconds = 3600) {
    EVP_PKEY* key = EVP_EC_gen("P-256");
    X509* leaf = Make("leaf", names, key, key_, certificate_, seconds);
    Pair pair{folder_.File(file + ".crt"), folder_.File(file + ".key")};
    Save(file + ".crt", leaf);
    BIO* out = BIO_new_file(pair.key.c_str(), "w");
    PEM_write_bio_PrivateKey(out, key, nullptr, nullptr, 0, nullptr, nullptr);
    BIO_free(out);
    X509_free(leaf);
    EVP_PKEY_free(key);
    return pair;
  }

 private:
  static X509* Make(const char* name, const std::string& names, EVP_PKEY* key, EVP_PKEY* signer,
                    X509* issuer, long seconds) {
    static long serial = 1;
    X509* made = X509_new();
    X509_set_version(made, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(made), serial++);
    X509_gmtime_adj(X509_getm_notBefore(made), -7200);
    X509_gmtime_adj(X509_getm_notAfter(made), seconds);
    X509_set_pubkey(made, key);
    X509_NAME* subject = X509_get_subject_name(made);
    X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC,
                               reinterpret_cast<const unsigned char*>(name), -1, -1, 0);
    X509_set_issuer_name(made, issuer != nullptr ? X509_get_subject_name(issuer) : subject);
    if (issuer == nullptr) Extend(made, NID_basic_constraints, "critical,CA:TRUE");
    if (!names.empty()) Extend(made, NID_subject_alt_name, names);
    X509_sign(made, signer, EVP_sha256());
    return made;
  }
  static void Extend(X509* to, int what, const std::string& value) {
    X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, nullptr, what, value.c_str());
    X509_add_ext(to, extension, -1);
    X509_EXTENSION_free(extension);
  }
  void Save(const std::string& file, X509* certificate) {
    BIO* out = BIO_new_file(folder_.File(file).c_str(), "w");
    PEM_write_bio_X509(out, certificate);
    BIO_free(out);
  }

  const TempFolder& folder_;
  EVP_PKEY* key_;
  X509* certificate_ = nullptr;
};

}  // namespace relay
