// SPDX-License-Identifier: MIT
// Events of the three kinds of streams, whole ones.
#pragma once

#include <string>

namespace relay {

inline const std::string kStart =
    "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"model\":\"m\","
    "\"usage\":{\"input_tokens\":7,\"output_tokens\":1}}}\n\n";
inline const std::string kDelta =
    "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"delta\":{"
    "\"type\":\"text_delta\",\"text\":\"Hello from the model\"}}\n\n";
inline const std::string kStop = "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n";
inline const std::string kPing = "event: ping\ndata: {\"type\": \"ping\"}\n\n";
inline const std::string kGoogle =
    "data: {\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"Hi\"}]}}]}\r\n\r\n";
inline const std::string kGoogleEnd =
    "data: {\"candidates\":[{\"finishReason\":\"STOP\"}],\"usageMetadata\":{"
    "\"promptTokenCount\":3,\"candidatesTokenCount\":4}}\r\n\r\n";
inline const std::string kOpenai = "data: {\"choices\":[{\"delta\":{\"content\":\"Hi\"}}]}\n\n";

}  // namespace relay
